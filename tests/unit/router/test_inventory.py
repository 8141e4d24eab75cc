"""What the inventory says of models beyond their names and sizes."""

import asyncio
import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from berth_formats.abilities import Abilities
from berth_router.management import inventory
from berth_router.store import descriptions
from berth_router.store.descriptions import Described, Descriptions, read_model
from berth_router.store.model_store import ModelStore, StoredModel
from tests.unit.formats.weights import write_checkpoint, write_gguf
from tests.unit.open_files import no_more_files
from tests.unit.router.conftest import Serving
from tests.unit.router.management import models


@pytest.mark.covers(
    "models[].format",
    "models[].architecture",
    "models[].license",
    "models[].parameters",
    "models[].context_length",
    "models[].has_chat_template",
)
async def test_headers_tell_what_a_model_is(serving: Serving, store: Path) -> None:
    write_gguf(store / "smol" / "smol.Q4_K_M.gguf", licence="apache-2.0")
    write_gguf(store / "alone.gguf")
    write_checkpoint(store / "org" / "checkpoint")
    found = await models(serving)
    shown = (
        "headers",
        "format",
        "architecture",
        "license",
        "parameters",
        "quantization",
        "context_length",
        "has_chat_template",
        "broken",
        "manifest",
    )
    assert {name: found["smol"][name] for name in shown} == {
        "headers": "read",
        "format": "gguf",
        "architecture": "llama",
        "license": "apache-2.0",
        "parameters": 300 * 64 + 64,
        "quantization": "Q4_K_M",
        "context_length": 2048,
        "has_chat_template": True,
        "broken": None,
        "manifest": None,
    }
    assert (found["alone.gguf"]["quantization"], found["alone.gguf"]["parameters"]) == ("F16", 300 * 64 + 64)
    assert (found["org/checkpoint"]["format"], found["org/checkpoint"]["parameters"]) == ("safetensors", 650)


@pytest.mark.covers("models[].kind", "models[].tools", "models[].vision", "models[].thinking")
async def test_headers_and_templates_tell_what_a_model_can_do(serving: Serving, store: Path) -> None:
    write_gguf(store / "sees" / "model.gguf", template="{{ tools }}")
    write_gguf(store / "sees" / "mmproj-model.gguf")
    write_checkpoint(store / "thinks", template="{% if enable_thinking %}")
    write_checkpoint(store / "bge-m3")
    found = await models(serving)
    shown = {
        name: tuple(found[name][field] for field in ("kind", "tools", "vision", "thinking")) for name in sorted(found)
    }
    assert shown == {
        "bge-m3": ("embedding", False, False, False),
        "sees": ("chat", True, True, False),
        "thinks": ("chat", False, False, True),
        "tiny": (None, None, None, None),
    }


async def test_what_a_model_can_do_is_known_at_once_when_it_was_read(store: Path) -> None:
    write_gguf(store / "smol" / "model.gguf", template="{{ tools }}")
    known, files = Descriptions(store), ModelStore(store)
    assert known.abilities("/models/smol") is None
    await known.of(await files.models(), 5)
    assert known.abilities("/models/smol") == Abilities("chat", tools=True)
    assert known.abilities("/models/tiny") is None
    await known.close()


@pytest.mark.covers("models[].broken")
async def test_a_broken_directory_is_marked_and_the_others_are_there(serving: Serving, store: Path) -> None:
    write_gguf(store / "whole" / "model.gguf")
    (store / "html").mkdir()
    (store / "html" / "model.gguf").write_text("<html>404</html>")
    os.truncate(write_gguf(store / "cut" / "model.gguf"), 3000)
    found = await models(serving)
    assert found["whole"]["broken"] is None
    assert found["html"]["broken"] == "model.gguf is an HTML or XML page, not a model: the download got an error page"
    assert "the download did not finish" in found["cut"]["broken"]
    assert found["tiny"]["broken"] == "it holds no files"
    assert found["html"]["architecture"] is None
    write_gguf(store / "tiny" / "model.gguf")
    assert (await models(serving))["tiny"]["broken"] is None


async def test_what_is_no_text_does_not_hide_the_other_models(serving: Serving, store: Path) -> None:
    write_gguf(store / "named" / "model.gguf")
    (store / "named" / os.fsdecode(b"caf\xe9.txt")).touch()
    config = write_checkpoint(store / "told") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "half \ud800"}))
    found = await models(serving)
    assert [file["name"] for file in found["named"]["files"]] == ["caf?.txt", "model.gguf"]
    assert found["told"]["architecture"] == "half ?"
    assert found["tiny"]["broken"] == "it holds no files"


def write_manifest(place: Path, **changed: Any) -> None:
    files = [{"path": path.name, "size": path.stat().st_size} for path in place.iterdir()]
    manifest = {"repository": "acme/tiny", "revision": "main", "commit": "c" * 40, "files": files}
    (place / ".berth-manifest.json").write_text(json.dumps(manifest | changed))


@pytest.mark.covers("models[].manifest.repository", "models[].manifest.commit")
async def test_a_downloaded_model_tells_where_it_came_from(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    write_manifest(store / "tiny")
    found = await models(serving)
    assert found["tiny"]["manifest"] == {"repository": "acme/tiny", "commit": "c" * 40}
    assert found["tiny"]["broken"] is None
    assert [file["name"] for file in found["tiny"]["files"]] == ["model.gguf"]


@pytest.mark.covers("models[].manifest")
async def test_a_downloaded_model_that_lost_a_file_is_broken(store: Path) -> None:
    write_checkpoint(store / "lost")
    write_manifest(store / "lost")
    (store / "lost" / "tokenizer_config.json").unlink()
    [lost] = [model for model in await ModelStore(store).models() if model.name == "lost"]
    assert "tokenizer_config.json is missing" in str(read_model(store, lost).broken)
    write_manifest(store / "lost", commit=None)
    assert "names no repository and commit" in str(read_model(store, lost).broken)


@pytest.mark.covers("models[].headers")
async def test_what_is_not_read_in_time_is_pending_and_read_later(
    serving: Serving, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = threading.Event()

    def read_when_told(root: Path, model: StoredModel) -> Described:
        may_read.wait(10)
        return read_model(root, model)

    monkeypatch.setattr(descriptions, "read_model", read_when_told)
    monkeypatch.setattr(inventory, "READ_SECONDS", 0.01)
    write_gguf(store / "new" / "model.gguf")
    first = (await models(serving))["new"]
    assert (first["headers"], first["architecture"], first["broken"]) == ("pending", None, None)
    assert first["files"][0]["type"] == "gguf"
    may_read.set()
    async with asyncio.timeout(10):
        while (later := (await models(serving))["new"])["headers"] == "pending":
            pass
    assert (later["headers"], later["architecture"]) == ("read", "llama")


async def test_a_router_reads_its_store_when_it_starts(store: Path) -> None:
    write_gguf(store / "one" / "model.gguf")
    known, files = Descriptions(store), ModelStore(store)
    await known.begin(files)
    found = await known.of(await files.models(), 10)
    assert all(one.read for one in found)
    assert known.read_models == len(found)
    await known.close()


async def test_only_models_that_changed_are_read_again(store: Path) -> None:
    write_gguf(store / "one" / "model.gguf")
    known, files = Descriptions(store), ModelStore(store)
    first = await known.of(await files.models(), 10)
    assert await known.of(await files.models(), 10) is first
    assert known.read_models == 2
    write_gguf(store / "new" / "model.gguf")
    described = {one.model.name: one for one in await known.of(await files.models(), 10)}
    assert described["new"].description
    assert known.read_models == 3
    await known.close()


@pytest.mark.covers("models[].broken, unreadable")
async def test_a_model_that_could_not_be_read_is_read_again(store: Path) -> None:
    write_gguf(store / "one" / "model.gguf")
    [one] = [model for model in await ModelStore(store).models() if model.name == "one"]
    now = 0.0
    known = Descriptions(store, clock=lambda: now)
    with no_more_files():
        [described] = await known.of([one], 10)
    assert described.broken == "model.gguf cannot be read: Too many open files"
    assert await known.of([one], 10) == (described,)
    now = 31.0
    [described] = await known.of([one], 10)
    assert described.broken is None
    assert described.description
    await known.close()


class EndsLate(Descriptions):
    """Its first reading is over, but takes until the test says so to end."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.at_its_end, self.may_end = threading.Event(), threading.Event()

    def _read_all(self) -> None:
        super()._read_all()
        self.at_its_end.set()
        self.may_end.wait(10)


async def test_who_asks_when_a_reading_is_at_its_end_is_not_left_without(store: Path) -> None:
    for name in ("one", "two"):
        write_gguf(store / name / "model.gguf")
    [one, two] = [model for model in await ModelStore(store).models() if model.name in ("one", "two")]
    known = EndsLate(store)
    first = asyncio.create_task(known.of([one], 10))
    await asyncio.to_thread(known.at_its_end.wait)
    second = asyncio.create_task(known.of([one, two], 10))
    await asyncio.sleep(0)
    known.may_end.set()
    assert all(described.read for described in [*await first, *await second])
    await known.close()


@pytest.mark.covers("503 store_unavailable")
async def test_a_store_that_fails_is_told_with_when_to_try_again(
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file system's own failure has to be played."""

    def failing(path: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr(os, "scandir", failing)
    monkeypatch.setattr(os, "listdir", failing)
    for method, path, body in (
        ("POST", "/v1/chat/completions", b'{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}'),
        ("GET", "/v1/models", b""),
        ("GET", "/v1/models/inventory", b""),
        ("GET", "/v1/models/manifest?model=tiny", b""),
    ):
        reply = await serving.raw(method, path, body, "Content-Type: application/json\r\n")
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"]) == (503, "store_unavailable")
        assert "Stale file handle" in error["message"]
        assert int(reply.headers["retry-after"]) >= 1
