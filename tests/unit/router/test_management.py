"""The management API, and how the router refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from berth_api.model_deployment import Backend, Device
from berth_cluster.cluster import MODEL_DEPLOYMENTS, UnavailableError
from berth_router.lifecycle import unloader
from berth_router.management.inventory import recommended_backends
from berth_router.settings import RouterSettings
from berth_router.store.model_store import FileType
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.router.conftest import MODEL, PROMPT, Reply, Serving, served
from tests.unit.router.engine import Call, Engine

CPU_ENGINES = {backend: [Device.CPU] for backend in Backend}
HELLO = [{"role": "user", "content": "Hi"}]
ALL_ENGINES = {backend: [Device.CPU, Device.CUDA] for backend in Backend}


async def get(serving: Serving, path: str) -> Any:
    return orjson.loads((await serving.raw("GET", path)).body)


async def unload(serving: Serving, **fields: Any) -> tuple[int, Any]:
    reply = await serving.raw("POST", "/v1/models/unload", orjson.dumps(fields), "Content-Type: application/json\r\n")
    return reply.status, orjson.loads(reply.body)


async def until_refused(serving: Serving) -> Reply:
    """The first refusal; requests before it wait for the engine and are dropped."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                return await serving.raw(
                    "POST", "/v1/chat/completions", orjson.dumps({"model": MODEL, "messages": PROMPT})
                )


@pytest.mark.covers(
    "loaded_models[].cache_key",
    "loaded_models[].model_path",
    "loaded_models[].backend",
    "loaded_models[].device",
    "loaded_models[].deployment",
    "loaded_models[].phase",
    "loaded_models[].in_flight",
    "GET /v1/models/loaded: total_count",
)
async def test_loaded_says_what_runs_and_until_when(ready: Serving) -> None:
    await ready.reported_in_flight(0)
    listed = await get(ready, "/v1/models/loaded")
    assert listed["total_count"] == 1
    (model,) = listed["loaded_models"]
    assert model["cache_key"] == "tiny_llamacpp_cpu"
    assert (model["model_path"], model["backend"], model["device"], model["ttl"]) == (MODEL, "llamacpp", "cpu", 300)
    assert (model["phase"], model["in_flight"]) == ("Ready", 0)
    assert model["expires_at"] > model["loaded_at"]

    await ready.set_status(model["deployment"], phase="Sleeping")
    async with asyncio.timeout(10):  # until the router's watch has seen it
        while (await get(ready, "/v1/models/loaded"))["total_count"]:
            pass


@pytest.mark.covers("failed (query)", "loaded_models[].message", "model (request): a ModelDeployment's name")
async def test_what_could_not_start_is_told_to_who_asks_for_it_and_can_be_unloaded(serving: Serving) -> None:
    asking = asyncio.create_task(serving.ask())
    name = await serving.created()
    await serving.make_stalled(name, "WrongFormat", "it is an HTML page")
    with suppress(openai.APIError):
        await asking
    assert (await get(serving, "/v1/models/loaded"))["total_count"] == 0
    (model,) = (await get(serving, "/v1/models/loaded?failed=true"))["loaded_models"]
    assert (model["deployment"], model["phase"], model["message"]) == (name, "Stalled", "it is an HTML page")
    shown = await get(serving, f"/v1/models/manifest?model={name}")
    assert shown["metadata"]["name"] == name
    assert await unload(serving, model=name) == (200, {"unloaded": [name], "message": f"{name} is unloaded."})
    assert await serving.deployments() == []


@pytest.mark.covers(
    "loaded_models[].loaded_at",
    "loaded_models[].expires_at",
    "loaded_models[].start_steps[].name",
    "loaded_models[].start_steps[].seconds",
    "loaded_models[].memory_bytes",
    "loaded_models[].context_size",
)
async def test_loaded_has_every_field_and_its_times_are_iso_8601(ready: Serving) -> None:
    name = await ready.created()
    step = {"name": "EngineReady", "at": datetime.now(UTC).isoformat(), "seconds": 1.5}
    await ready.set_status(name, startSteps=[step], memoryBytes=350_000_000, contextSize=4096)
    async with asyncio.timeout(10):
        while not (model := (await get(ready, "/v1/models/loaded"))["loaded_models"][0])["start_steps"]:
            pass
    assert {"cache_key", "model_path", "backend", "device", "loaded_at", "ttl", "expires_at"} <= set(model)
    assert datetime.fromisoformat(model["expires_at"]) - datetime.fromisoformat(model["loaded_at"]) >= timedelta(
        seconds=300
    )
    assert model["start_steps"] == [{"name": "EngineReady", "seconds": 1.5}]
    assert (model["memory_bytes"], model["context_size"]) == (350_000_000, 4096)


@pytest.mark.covers(
    "models[].name",
    "models[].path",
    "models[].size_gb",
    "models[].files[].name",
    "models[].files[].size_mb",
    "GET /v1/models/inventory: total_models",
    "total_size_gb",
)
@pytest.mark.parametrize("settings", [{"engines": {"llamacpp": ["cpu"]}}], indirect=True)
async def test_the_inventory_tells_files_sizes_and_engines(serving: Serving, settings: RouterSettings) -> None:
    store = Path(settings.model_store)
    (store / "tiny" / "model.gguf").write_bytes(b"x" * 2_500_000)
    (store / "big").mkdir()
    (store / "big" / "model.safetensors").write_bytes(b"x" * 1_000_000)
    (store / "small").mkdir()
    (store / "small" / "model.gguf").write_bytes(b"x" * 2_400)
    found = await get(serving, "/v1/models/inventory")
    assert (found["total_models"], found["total_size_gb"]) == (3, 0.0035024)
    shown = ("name", "path", "size_gb", "files", "recommended_backends")
    assert [{name: model[name] for name in shown} for model in found["models"]] == [
        {
            "name": "big",
            "path": "/models/big",
            "size_gb": 0.001,
            "files": [{"name": "model.safetensors", "size_mb": 1.0, "type": "safetensors"}],
            "recommended_backends": [],
        },
        {
            "name": "small",
            "path": "/models/small",
            "size_gb": 0.0000024,
            "files": [{"name": "model.gguf", "size_mb": 0.0024, "type": "gguf"}],
            "recommended_backends": ["llamacpp"],
        },
        {
            "name": "tiny",
            "path": MODEL,
            "size_gb": 0.0025,
            "files": [{"name": "model.gguf", "size_mb": 2.5, "type": "gguf"}],
            "recommended_backends": ["llamacpp"],
        },
    ]
    (store / "tiny" / "model.gguf").rename(store / "tiny" / "renamed.gguf")
    inventory = await get(serving, "/v1/models/inventory")
    assert inventory["models"][2]["files"][0]["name"] == "renamed.gguf"


@pytest.mark.covers("models[].recommended_backends")
@pytest.mark.parametrize(
    ("types", "devices", "expected"),
    [
        ({FileType.GGUF}, ALL_ENGINES, ["llamacpp"]),
        ({FileType.SAFETENSORS}, ALL_ENGINES, ["vllm", "transformers"]),
        ({FileType.SAFETENSORS, FileType.CONFIG}, CPU_ENGINES, ["transformers", "vllm"]),
        ({FileType.SAFETENSORS}, {Backend.LLAMACPP: [Device.CPU]}, []),
        ({FileType.OTHER}, ALL_ENGINES, []),
    ],
)
def test_recommended_backends_are_installed_ones_that_take_the_files(
    types: set[FileType], devices: dict[Backend, list[Device]], expected: list[str]
) -> None:
    assert recommended_backends(frozenset(types), devices) == expected


@pytest.mark.covers("GET /v1/models/stats: total_models", "active_models")
async def test_stats_count_hits_and_misses(ready: Serving) -> None:
    await ready.ask()
    await ready.ask()
    await ready.raw("POST", "/v1/chat/completions", b"no JSON")
    with suppress(openai.NotFoundError):
        await ready.client.chat.completions.create(model="absent", messages=PROMPT)
    assert await get(ready, "/v1/models/stats") == {
        "total_models": 1,
        "active_models": 1,
        "total_requests": 4,
        "cache_hits": 2,
        "cache_misses": 2,
        "hit_rate": 0.5,
    }


@pytest.mark.covers("hit_rate")
async def test_stats_before_any_request(serving: Serving) -> None:
    stats = await get(serving, "/v1/models/stats")
    assert (stats["total_models"], stats["total_requests"], stats["hit_rate"]) == (0, 0, 0.0)


async def test_a_request_that_is_sent_again_is_counted_once(ready: Serving) -> None:
    """The engine is gone and back before anybody has heard of it."""
    await ready.engine.stop()
    async with Engine() as successor:
        asking = asyncio.create_task(ready.ask())
        name = await ready.created()
        await ready.set_status(name, endpoint=successor.url)
        assert await asking == "Paris."
    stats = await get(ready, "/v1/models/stats")
    assert (stats["total_requests"], stats["cache_hits"]) == (2, 1)


@pytest.mark.covers(
    "POST /v1/models/unload: model (request)", "POST /v1/models/unload: unloaded", "POST /v1/models/unload: message"
)
async def test_unload_deletes_the_deployments_of_the_model(ready: Serving) -> None:
    name = await ready.created()
    assert await unload(ready, model="tiny") == (200, {"unloaded": [name], "message": f"{MODEL} is unloaded."})
    assert await ready.deployments() == []
    status, answer = await unload(ready, model="tiny")
    assert (status, answer["error"]["code"]) == (404, "model_not_loaded")


@pytest.mark.covers("model (request): NAME@PROFILE")
@pytest.mark.parametrize("settings", [{"profiles": {"long": {"n_ctx": 8192}, "short": {"n_ctx": 512}}}], indirect=True)
async def test_unload_of_a_profile_leaves_what_is_not_as_it_states(ready: Serving) -> None:
    status, answer = await unload(ready, model="tiny@long")
    assert (status, answer["error"]["code"]) == (404, "model_not_loaded")
    status, answer = await unload(ready, model="tiny@none")
    assert (status, answer["error"]["code"]) == (400, "profile_not_found")
    assert (await unload(ready, model="/models/tiny@short"))[0] == 200
    assert await ready.deployments() == []


async def test_unload_lets_the_answers_being_made_end_and_takes_no_new_ones(ready: Serving) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> None:
        reached.set()
        await go_on.wait()
        await call.answer()

    ready.engine.behaviour = slow
    answering = asyncio.create_task(ready.ask())
    await reached.wait()
    unloading = asyncio.create_task(unload(ready, model=MODEL))
    async with asyncio.timeout(10):
        refused = await until_refused(ready)
    assert (refused.status, orjson.loads(refused.body)["error"]["code"]) == (503, "model_unloaded")
    assert len(await ready.deployments()) == 1
    go_on.set()
    assert await answering == "Paris."
    assert (await unloading)[0] == 200
    assert await ready.deployments() == []


@pytest.fixture
async def second(ready: Serving, settings: RouterSettings) -> AsyncIterator[Serving]:
    """Another replica, that knows of the model."""
    async with served(ready.cluster, ready.engine, settings.model_copy(update={"replica": "router-2"})) as running:
        async with asyncio.timeout(10):
            while not (await get(running, "/v1/models/loaded"))["total_count"]:
                pass
        yield running


async def test_unload_waits_for_the_answers_of_other_replicas_which_take_no_new_requests(
    ready: Serving, second: Serving
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> None:
        reached.set()
        await go_on.wait()
        await call.answer()

    ready.engine.behaviour = slow
    answering = asyncio.create_task(second.ask())
    await reached.wait()
    unloading = asyncio.create_task(unload(ready, model=MODEL))
    async with asyncio.timeout(10):
        refused = await until_refused(second)
    assert (refused.status, orjson.loads(refused.body)["error"]["code"]) == (503, "model_unloaded")
    assert refused.headers["retry-after"]
    await ready.until(lambda found: found[0]["status"]["activity"].get("router-2", {}).get("inFlight", 0) > 0)
    # Longer than the unloading router waits for reports of the others.
    done, _ = await asyncio.wait({unloading}, timeout=2.5)
    assert not done
    go_on.set()
    assert await answering == "Paris."
    assert (await unloading)[0] == 200
    assert await ready.deployments() == []


@pytest.mark.covers("its bound")
async def test_unload_waits_no_longer_than_its_bound(
    ready: Serving, second: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unloader, "DRAIN_SECONDS", 0.1)
    reached = asyncio.Event()

    async def never(call: Call) -> None:
        reached.set()

    ready.engine.behaviour = never
    answering = asyncio.create_task(second.ask())
    await reached.wait()
    assert (await unload(ready, model=MODEL))[0] == 200
    assert await ready.deployments() == []
    answering.cancel()


@pytest.mark.covers("POST /v1/models/unload-all: unloaded", "POST /v1/models/unload-all: message")
async def test_unload_all_unloads_every_model_that_has_an_engine(ready: Serving, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "other").mkdir()
    name = await ready.created()
    asking = asyncio.create_task(ready.client.chat.completions.create(model="other", messages=PROMPT))
    [other] = [
        found["metadata"]["name"]
        for found in await ready.until(lambda found: len(found) == 2)
        if found["metadata"]["name"] != name
    ]
    await ready.make_ready(other)
    await asking
    reply = await ready.raw("POST", "/v1/models/unload-all")
    answer = orjson.loads(reply.body)
    assert (reply.status, sorted(answer["unloaded"])) == (200, sorted([name, other]))
    assert await ready.deployments() == []
    again = await ready.raw("POST", "/v1/models/unload-all")
    assert (again.status, orjson.loads(again.body)["unloaded"]) == (200, [])


@pytest.mark.covers("POST /v1/models/unload: backend (request)")
async def test_unload_of_another_backend_leaves_the_model_alone(ready: Serving) -> None:
    status, _ = await unload(ready, model=MODEL, backend="vllm")
    assert status == 404
    assert len(await ready.deployments()) == 1


@pytest.mark.covers("POST /v1/models/unload: device (request)")
async def test_unload_of_another_device_leaves_the_model_alone(ready: Serving) -> None:
    status, _ = await unload(ready, model=MODEL, device="cuda")
    assert status == 404
    assert len(await ready.deployments()) == 1


async def test_unload_that_the_cluster_refuses_leaves_the_model_in_service(ready: Serving) -> None:
    ready.cluster.fail_next("delete", UnavailableError("the API server cannot be reached"))
    status, answer = await unload(ready, model=MODEL)
    assert (status, answer["error"]["code"]) == (503, "cluster_unavailable")
    assert await ready.ask() == "Paris."


@pytest.mark.covers("GET /metrics")
async def test_metrics_count_requests_by_status(ready: Serving) -> None:
    await ready.raw("POST", "/v1/chat/completions", b"no JSON")
    metrics = (await ready.raw("GET", "/metrics")).body.decode()
    assert 'berth_router_requests_total{path="/v1/chat/completions",status="200"} 1.0' in metrics
    assert 'berth_router_requests_total{path="/v1/chat/completions",status="400"} 1.0' in metrics
    assert 'berth_router_hold_seconds_count{outcome="ready"} 1.0' in metrics


@pytest.mark.covers("GET /docs, GET /openapi.json")
async def test_the_openapi_page_describes_inference_too(serving: Serving) -> None:
    assert (await serving.raw("GET", "/docs")).status == 200
    schema = await get(serving, "/openapi.json")
    assert set(schema["paths"]) >= {"/v1/chat/completions", "/v1/models", "/v1/models/loaded", "/v1/models/unload"}
    assert schema["security"] == [{"apiKey": []}]
    fields = schema["components"]["schemas"]["ChatCompletionsRequest"]["properties"]
    assert {"model", "messages", "stream", "ttl", "n_ctx", "n_gpu_layers", "backend", "device"} <= set(fields)


@pytest.mark.covers("shape")
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "says"),
    [
        ("GET", "/v2/models", {}, 404, "unknown_path", "/docs"),
        ("GET", "/v1/chat/completions", {}, 405, "method_not_allowed", "POST"),
        ("DELETE", "/v1/models", {}, 405, "method_not_allowed", "GET, HEAD"),
        ("POST", "/v1/models/unload", {"backend": "vllm"}, 400, "invalid_value", "`model`"),
        ("POST", "/v1/models/unload", {"model": "x", "backend": "ollama"}, 400, "invalid_value", "`backend`"),
        ("POST", "/v1/chat/completions", {"model": "x", "messages": [], "n_ctx": 1}, 400, "invalid_value", "`n_ctx`"),
        ("POST", "/v1/chat/completions", {"model": "absent", "messages": HELLO}, 404, "model_not_found", "/v1/models"),
        (
            "POST",
            "/v1/chat/completions",
            {"model": "tiny", "messages": HELLO, "device": "cuda"},
            400,
            "engine_not_available",
            "llamacpp on cpu",
        ),
    ],
)
async def test_refusals_are_in_openais_shape_and_say_what_would_be_right(
    serving: Serving, method: str, path: str, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    reply = await serving.raw(method, path, orjson.dumps(body), "Content-Type: application/json\r\n")
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("settings", [{"max_body_bytes": 2000}], indirect=True)
async def test_a_body_that_is_too_large_is_refused(serving: Serving) -> None:
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * 3000}]})
    reply = await serving.raw("POST", "/v1/chat/completions", body)
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (413, "request_too_large")


@pytest.mark.in_memory("etcd forgets its history when it likes")
async def test_a_second_snapshot_takes_out_what_is_gone(ready: Serving) -> None:
    """A watch that broke may have missed a deletion; the list that follows shows it."""
    assert isinstance(ready.cluster, MemoryCluster)
    name = await ready.created()
    ready.cluster.expire_watches()
    await ready.cluster.delete(MODEL_DEPLOYMENTS, name)
    while (await get(ready, "/v1/models/loaded"))["total_count"]:
        pass
    asking = asyncio.create_task(ready.ask())
    await ready.make_ready(await ready.created())
    assert await asking == "Paris."
