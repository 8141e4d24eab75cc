"""Ollama's own client lists, shows, pulls and deletes models."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ollama
import orjson
import pytest

from berth_cluster.cluster import MODEL_DOWNLOADS
from berth_router.auth import KeyScope
from berth_router.management import ollama_store
from berth_router.settings import RouterSettings
from tests.instruments import InstrumentedCluster
from tests.unit.formats.weights import write_checkpoint, write_gguf
from tests.unit.router.conftest import Serving, served
from tests.unit.router.engine import Engine

TOOL_TEMPLATE = "{% if tools %}{{ tools }}{% endif %}{{ messages }}" + " " * 5000
DELETABLE = {"store_writable": True}
CLOSE = "Connection: close\r\n"
"""The end of an answer to HEAD, whose length is not the body's."""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_says_what_clients_look_for(serving: Serving, method: str) -> None:
    reply = await serving.raw(method, "/", headers=CLOSE)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.body == (b"Ollama is running" if method == "GET" else b"")


async def test_the_version_is_of_digits_and_dots(serving: Serving) -> None:
    version = orjson.loads((await serving.raw("GET", "/api/version")).body)["version"]
    assert tuple(map(int, version.split("."))) >= (0, 13, 0)


async def test_models_are_listed_with_their_tag(serving: Serving, store: Path, client: Any) -> None:
    write_gguf(store / "smol" / "smol.Q4_K_M.gguf")
    write_checkpoint(store / "org" / "checkpoint")
    models = {model.model: model for model in (await client.list()).models}
    assert set(models) == {"smol:latest", "org/checkpoint:latest", "tiny:latest"}
    smol = models["smol:latest"]
    assert (smol.details.format, smol.details.family, smol.details.quantization_level) == ("gguf", "llama", "Q4_K_M")
    assert smol.size > 1000
    assert len(smol.digest) == 64


async def test_a_model_is_shown_with_what_it_can_do(serving: Serving, store: Path, client: Any) -> None:
    write_gguf(store / "smol" / "smol.Q4_K_M.gguf", template=TOOL_TEMPLATE)
    write_gguf(store / "alone.gguf")
    write_checkpoint(store / "org" / "checkpoint")
    shown = await client.show("smol:latest")
    assert shown.capabilities == ["completion", "tools"]
    assert shown.template == TOOL_TEMPLATE
    assert shown.parameters == "num_ctx 2048"
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 2048
    assert (await client.show("alone.gguf")).capabilities == ["completion"]
    assert (await client.show("org/checkpoint")).template == (await client.show("alone.gguf")).template
    older = await serving.raw("POST", "/api/show", b'{"name": "smol"}')
    assert orjson.loads(older.body)["capabilities"] == ["completion", "tools"]


async def test_a_model_without_a_readable_template_is_shown_without_it(
    serving: Serving, store: Path, client: Any
) -> None:
    (store / "broken").mkdir()
    (store / "broken" / "model.gguf").write_bytes(b"GGUF")
    write_gguf(store / "plain" / "plain.gguf", template=None)
    for name in ("broken", "plain", "tiny"):
        assert (await client.show(name)).template == ""


@pytest.mark.parametrize("name", ["nothing", "gpt-4o:mini", "a b", "../tiny"])
async def test_a_model_that_is_not_there_is_neither_shown_nor_deleted(client: Any, name: str) -> None:
    for asking in (client.show(name), client.delete(name)):
        with pytest.raises(ollama.ResponseError, match="not found") as failed:
            await asking
        assert failed.value.status_code == 404


async def test_what_runs_is_listed_with_its_end(ready: Serving, client: Any) -> None:
    (running,) = (await client.ps()).models
    assert (running.model, running.context_length, running.size_vram) == ("tiny:latest", 2048, 0)
    left = running.expires_at - datetime.now(UTC)
    assert timedelta(minutes=4) < left < timedelta(minutes=6)
    await client.generate("tiny", keep_alive=-1)
    await ready.set_status(await ready.created(), memoryBytes=123)
    async with asyncio.timeout(10):
        while running.size != 123 or running.expires_at.year != 2300:  # the promise is written a moment later
            (running,) = (await client.ps()).models


async def test_what_starts_is_not_listed_as_running(serving: Serving, client: Any) -> None:
    asking = asyncio.create_task(client.generate("tiny"))
    name = await serving.created()
    await serving.set_status(name, phase="Starting")
    assert (await client.ps()).models == []
    await serving.make_ready(name)
    await asking


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_store, "LOOK_SECONDS", 0.01)


async def download_of(serving: Serving) -> str:
    """The name of the only download, as soon as it is there."""
    async with asyncio.timeout(10):
        while not (found := (await serving.cluster.list(MODEL_DOWNLOADS)).items):
            await serving.raw("GET", "/readyz")
    return found[0]["metadata"]["name"]


async def report(serving: Serving, name: str, **status: Any) -> None:
    await serving.cluster.patch_status(MODEL_DOWNLOADS, name, status)


@pytest.mark.usefixtures("looks_often")
async def test_a_pull_is_a_download_and_shows_how_far_it_is(serving: Serving, client: Any) -> None:
    parts: Any = await client.pull("hf.co/acme/tiny-GGUF:Q4_K_M", stream=True)
    assert (await anext(parts)).status == "pulling manifest"
    (download,) = (await serving.cluster.list(MODEL_DOWNLOADS)).items
    name = download["metadata"]["name"]
    assert (download["spec"]["repository"], download["spec"]["quantization"]) == ("acme/tiny-GGUF", "Q4_K_M")
    await report(serving, name, phase="Running", bytesDone=10, bytesTotal=100)
    part = await anext(parts)
    assert (part.completed, part.total) == (10, 100)
    await report(serving, name, phase="Succeeded", bytesDone=100, bytesTotal=100)
    assert [part.status async for part in parts][-1] == "success"


@pytest.mark.usefixtures("looks_often")
async def test_a_pull_that_fails_says_why(serving: Serving, client: Any) -> None:
    parts: Any = await client.pull("acme/tiny", stream=True)
    await anext(parts)
    await report(serving, await download_of(serving), phase="Failed", message="there is no such repository")
    with pytest.raises(ollama.ResponseError, match="there is no such repository"):
        await anext(parts)


@pytest.mark.usefixtures("looks_often")
async def test_a_pull_without_a_stream_waits_for_the_end(serving: Serving, client: Any) -> None:
    pulling = asyncio.create_task(client.pull("acme/tiny"))
    await report(serving, await download_of(serving), phase="Failed", message="there is no such repository")
    with pytest.raises(ollama.ResponseError, match="there is no such repository") as failed:
        await pulling
    assert failed.value.status_code == 500


@pytest.mark.usefixtures("looks_often")
async def test_a_pull_whose_download_is_cancelled_ends_with_an_error(serving: Serving, client: Any) -> None:
    parts: Any = await client.pull("acme/tiny", stream=True)
    await anext(parts)
    await serving.raw("DELETE", f"/v1/models/download/{await download_of(serving)}")
    with pytest.raises(ollama.ResponseError, match="cancelled"):
        await anext(parts)


async def test_a_pull_of_what_is_there_is_done(serving: Serving, client: Any) -> None:
    assert (await client.pull("tiny:latest")).status == "success"
    assert (await serving.cluster.list(MODEL_DOWNLOADS)).items == []


@pytest.mark.parametrize("name", ["llama3.2", "llama3.2:1b", "hf.co/acme", "hf.co/acme/tiny:a b"])
async def test_a_pull_of_no_repository_is_refused(serving: Serving, client: Any, name: str) -> None:
    with pytest.raises(ollama.ResponseError) as refused:
        await client.pull(name)
    assert refused.value.status_code == 400
    assert (await serving.cluster.list(MODEL_DOWNLOADS)).items == []


@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
async def test_a_model_that_is_loaded_and_not_used_is_deleted(ready: Serving, store: Path, client: Any) -> None:
    await client.delete("tiny:latest")
    assert not (store / "tiny").exists()
    assert await ready.deployments() == []


@pytest.mark.parametrize("settings", [DELETABLE], indirect=True)
async def test_a_model_in_use_is_not_deleted(serving: Serving, store: Path, client: Any) -> None:
    asking = asyncio.create_task(client.generate("tiny"))
    name = await serving.created()
    with pytest.raises(ollama.ResponseError, match="is in use") as refused:
        await client.delete("tiny")
    assert refused.value.status_code == 409
    await serving.make_ready(name)
    assert (await asking).done


async def test_a_store_that_routers_may_only_read_keeps_its_models(client: Any) -> None:
    with pytest.raises(ollama.ResponseError, match="may only read") as refused:
        await client.delete("tiny")
    assert refused.value.status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/copy"), ("POST", "/api/create"), ("POST", "/api/push"), ("HEAD", "/api/blobs/sha256:00")],
)
async def test_what_berth_does_not_do_is_refused(serving: Serving, method: str, path: str) -> None:
    reply = await serving.raw(method, path, b"{}" if method == "POST" else b"", CLOSE)
    assert reply.status == 501
    if method == "POST":
        assert json.loads(reply.body)["error"].startswith(f"{path} is not answered here")


@pytest.fixture
async def guarded(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings, tmp_path: Path
) -> AsyncIterator[Serving]:
    """A router that asks for keys."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in KeyScope:
        (folder / name).write_text(f"{name}-key")
    keys = {"api_keys_dir": folder, "api_key_scopes": {name.value: [name] for name in KeyScope}}
    async with served(cluster, engine, settings.model_copy(update=keys)) as running:
        await running.until_ready()
        yield running


@pytest.mark.covers("/api/pull, /api/delete, /api/copy, /api/create, /api/push", "everything else below /api/")
@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/api/chat", "inference"),
        ("POST", "/api/embed", "inference"),
        ("GET", "/api/tags", "inference"),
        ("GET", "/api/ps", "inference"),
        ("POST", "/api/show", "inference"),
        ("GET", "/api/version", "inference"),
        ("POST", "/api/pull", "manage"),
        ("DELETE", "/api/delete", "manage"),
        ("POST", "/api/copy", "manage"),
        ("POST", "/api/create", "manage"),
        ("POST", "/api/push", "manage"),
    ],
)
async def test_keys_hold_here_too(guarded: Serving, method: str, path: str, scope: str) -> None:
    nobody = await guarded.raw(method, path)
    assert nobody.status == 401
    assert "No API key" in orjson.loads(nobody.body)["error"]
    for name in KeyScope:
        reply = await guarded.raw(method, path, headers=f"Authorization: Bearer {name}-key\r\n")
        assert (reply.status == 403) == (name != scope)


async def test_the_root_needs_no_key(guarded: Serving) -> None:
    assert (await guarded.raw("HEAD", "/", headers=CLOSE)).status == 200
