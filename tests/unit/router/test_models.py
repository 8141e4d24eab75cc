"""GET /v1/models and GET /v1/models/{name}: which names there are, and what is told of each."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from berth_router.settings import RouterSettings
from tests.instruments import InstrumentedCluster
from tests.unit.formats.weights import write_checkpoint, write_gguf
from tests.unit.router.conftest import MODEL, Serving, served
from tests.unit.router.engine import Engine
from tests.unit.router.management import call

TOOLS = "{% if tools %}{{ tools }}{% endif %}"

PROFILES = {"large": {"backend": "llamacpp", "n_ctx": 8192}, "gpu": {"device": "cuda"}, "vllm": {"max_model_len": 1024}}


async def listed(serving: Serving) -> dict[str, Any]:
    status, answer = await call(serving, "GET", "/v1/models")
    assert (status, answer["object"]) == (200, "list")
    return {model["id"]: model for model in answer["data"]}


async def shown(serving: Serving, name: str) -> Any:
    status, answer = await call(serving, "GET", f"/v1/models/{name}")
    return answer if status == 200 else answer["error"]["code"]


@pytest.mark.covers("data[].id")
async def test_names_are_those_of_the_stores_models(serving: Serving, store: Path) -> None:
    (store / "large.gguf").write_bytes(b"GGUF")
    write_gguf(store / "team" / "nested" / "model.gguf")
    for not_a_model in (".partial", "lost+found"):
        (store / not_a_model).mkdir()
    (store / "notes.txt").write_text("no model")
    assert [model.id async for model in serving.client.models.list()] == ["large.gguf", "team/nested", "tiny"]


@pytest.mark.covers(
    "GET /v1/models: object",
    "data[].object",
    "data[].created",
    "data[].owned_by",
    "data[].context_length",
    "data[].max_model_len",
    "data[].kind",
    "data[].capabilities",
    "data[].tools",
    "data[].vision",
    "data[].thinking",
    "data[].architecture.input_modalities",
    "data[].architecture.output_modalities",
    "data[].meta.n_ctx",
    "data[].meta.n_ctx_train",
    "data[].meta.n_params",
    "data[].meta.n_vocab",
    "data[].meta.n_embd",
    "data[].meta.size",
    "data[].status.value",
)
async def test_clients_find_what_they_look_for(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf", template=TOOLS)
    write_gguf(store / "tiny" / "mmproj.gguf")
    assert (await listed(serving))["tiny"] == {
        "id": "tiny",
        "aliases": [],
        "object": "model",
        "created": int((store / "tiny").stat().st_mtime),
        "owned_by": "berth",
        "context_length": 2048,
        "max_model_len": 2048,
        "kind": "chat",
        "capabilities": ["completion", "tools", "vision"],
        "tools": True,
        "vision": True,
        "thinking": False,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "meta": {
            "n_ctx": 2048,
            "n_ctx_train": 2048,
            "n_params": 300 * 64 + 64,
            "n_vocab": 300,
            "n_embd": 64,
            "size": (store / "tiny" / "model.gguf").stat().st_size,
        },
        "status": {"value": "unloaded", "failed": False},
    }


async def test_what_is_not_known_is_null(serving: Serving) -> None:
    model = (await listed(serving))["tiny"]
    assert (model["kind"], model["tools"], model["meta"]["n_ctx_train"], model["capabilities"]) == (
        None,
        None,
        None,
        [],
    )


async def test_a_model_that_makes_vectors_says_so(serving: Serving, store: Path) -> None:
    write_checkpoint(store / "vectors", architectures=["BertModel"], model_type="bert")
    write_checkpoint(store / "ranks", architectures=["BertForSequenceClassification"])
    models = await listed(serving)
    assert models["vectors"]["architecture"]["output_modalities"] == ["embeddings"]
    assert (models["vectors"]["kind"], models["vectors"]["capabilities"]) == ("embedding", ["embedding"])
    assert (models["ranks"]["kind"], models["ranks"]["capabilities"]) == ("rerank", ["rerank"])


@pytest.mark.covers("data[].status.failed")
async def test_the_status_follows_the_deployment(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    name = await serving.created()

    async def status() -> tuple[str, bool]:
        found = (await listed(serving))["tiny"]["status"]
        return found["value"], found["failed"]

    assert await status() == ("loading", False)
    await serving.make_ready(name)
    await asking
    assert await status() == ("loaded", False)
    await serving.set_status(name, phase="Unresponsive", endpoint=None)
    assert await status() == ("loaded", False)
    await serving.set_status(name, phase="Sleeping")
    assert await status() == ("sleeping", False)
    await serving.make_stalled(name, "EngineFailed", "it broke")
    assert await status() == ("unloaded", True)


async def test_the_window_is_that_of_what_runs(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    asking = asyncio.create_task(serving.ask(extra_body={"n_ctx": 1024}))
    await serving.make_ready(await serving.created())
    await asking
    model = (await listed(serving))["tiny"]
    assert (model["context_length"], model["meta"]["n_ctx"], model["meta"]["n_ctx_train"]) == (1024, 1024, 2048)


async def test_the_window_is_what_the_engine_says_it_has_and_no_more_than_the_model_was_made_for(
    serving: Serving, store: Path
) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    asking = asyncio.create_task(serving.ask(extra_body={"n_ctx": 8192}))
    name = await serving.created()
    assert (await listed(serving))["tiny"]["context_length"] == 2048
    await serving.make_ready(name)
    await asking
    await serving.set_status(name, contextSize=1536)
    async with asyncio.timeout(10):
        while (await listed(serving))["tiny"]["context_length"] != 1536:
            pass


@pytest.mark.parametrize("settings", [{"profiles": PROFILES, "engines": {"llamacpp": ["cpu"]}}], indirect=True)
async def test_profiles_that_an_engine_here_can_start_are_names_too(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf", context=8192)
    models = await listed(serving)
    assert list(models) == ["tiny", "tiny@large"]
    assert (models["tiny"]["context_length"], models["tiny@large"]["context_length"]) == (2048, 8192)
    asking = asyncio.create_task(serving.ask())
    await serving.make_ready(await serving.created())
    await asking
    models = await listed(serving)
    assert (models["tiny"]["status"]["value"], models["tiny@large"]["status"]["value"]) == ("loaded", "unloaded")
    assert (await shown(serving, "tiny@large"))["context_length"] == 8192


async def test_a_deployment_with_a_path_that_the_store_does_not_list_is_there(
    cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings
) -> None:
    spec = {"model": "/models/elsewhere/a/b", "backend": "llamacpp", "device": "cpu"}
    head = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
    await cluster.create(MODEL_DEPLOYMENTS, {**head, "metadata": {"name": "other"}, "spec": spec})
    async with served(cluster, engine, settings) as serving:
        await serving.until_ready()
        assert list(await listed(serving)) == ["elsewhere/a/b", "tiny"]
        assert (await shown(serving, "elsewhere/a/b"))["status"]["value"] == "loading"


@pytest.mark.covers(
    "id",
    "GET /v1/models/{name}: object",
    "created",
    "owned_by",
    "context_length",
    "GET /v1/models/{name}: max_model_len",
    "GET /v1/models/{name}: kind",
    "capabilities",
    "tools",
    "vision",
    "thinking",
    "architecture.input_modalities",
    "architecture.output_modalities",
    "meta.n_ctx",
    "meta.n_ctx_train",
    "meta.n_params",
    "meta.n_vocab",
    "meta.n_embd",
    "meta.size",
    "status.value",
    "status.failed",
)
@pytest.mark.parametrize(
    "name",
    ["tiny", "/models/tiny", "%2Fmodels%2Ftiny", "models/tiny", "tiny/", MODEL.replace("/", "%2f")],
)
async def test_a_model_is_found_by_its_name_and_its_path(serving: Serving, store: Path, name: str) -> None:
    write_gguf(store / "tiny" / "model.gguf")
    assert await shown(serving, name) == (await listed(serving))["tiny"]


@pytest.mark.parametrize("name", ["team/nested", "team%2Fnested", "/models/team/nested", "models%2Fteam%2Fnested"])
async def test_a_nested_path_is_a_name(serving: Serving, store: Path, name: str) -> None:
    write_gguf(store / "team" / "nested" / "model.gguf")
    assert (await shown(serving, name))["id"] == "team/nested"


@pytest.mark.covers("GET /v1/models/{name}: 404 model_not_found")
@pytest.mark.parametrize("name", ["absent", "tiny@absent", "/models/absent", "tin", "a:b", "..%2Fetc", "load/x", "%00"])
async def test_a_name_that_no_model_has_is_not_found(serving: Serving, name: str) -> None:
    assert await shown(serving, name) == "model_not_found"


async def test_a_name_that_no_model_can_have_is_told_once_where_the_names_are(serving: Serving) -> None:
    status, answer = await call(serving, "GET", "/v1/models/.hidden")
    assert status == 404
    assert answer["error"]["message"].count("GET /v1/models lists") == 1


async def test_openais_client_retrieves_a_model(serving: Serving) -> None:
    for name in ("tiny", MODEL):
        assert (await serving.client.models.retrieve(name)).id == "tiny"
    with pytest.raises(openai.NotFoundError) as refusal:
        await serving.client.models.retrieve("absent")
    assert "GET /v1/models lists" in str(refusal.value.message)


async def test_berths_own_paths_win(serving: Serving, store: Path) -> None:
    for name in ("loaded", "unload"):
        (store / name).mkdir()
    assert "loaded_models" in (await call(serving, "GET", "/v1/models/loaded"))[1]
    assert (await call(serving, "GET", "/v1/models/unload"))[0] == 405
    assert (await shown(serving, "/models/loaded"))["id"] == "loaded"


async def test_nothing_is_read_again_for_a_list_that_has_not_changed(serving: Serving) -> None:
    first = (await serving.raw("GET", "/v1/models")).body
    assert (await serving.raw("GET", "/v1/models")).body == first
    assert orjson.loads(first)["data"]


LARGE = {"profiles": {**PROFILES, "small": {"n_ctx": 512}}, "engines": {"llamacpp": ["cpu"]}}


@pytest.mark.parametrize("settings", [LARGE], indirect=True)
async def test_the_window_is_the_largest_of_what_runs_and_a_profiles_own(serving: Serving, store: Path) -> None:
    write_gguf(store / "tiny" / "model.gguf", context=32768)
    for size in (512, 8192):
        asking = asyncio.create_task(serving.ask(extra_body={"n_ctx": size}))
        name = await _made_with(serving, size)
        await serving.make_ready(name)
        await asking
    models = await listed(serving)
    assert {name: model["context_length"] for name, model in models.items()} == {
        "tiny": 8192,
        "tiny@large": 8192,
        "tiny@small": 512,
    }


async def _made_with(serving: Serving, size: int) -> str:
    """The name of the deployment with this context, as soon as it is there."""

    def those(found: list[Object]) -> list[str]:
        return [one["metadata"]["name"] for one in found if one["spec"]["llamacpp"]["contextSize"] == size]

    return those(await serving.until(lambda found: bool(those(found))))[0]
