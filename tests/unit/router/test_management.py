"""The management API, and how the router refuses."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from berth_api.cluster import MODEL_DEPLOYMENTS, UnavailableError
from berth_router.settings import Settings
from tests.unit.router.conftest import MODEL, PROMPT, Reply, Serving
from tests.unit.router.engine import Call


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
                return await serving.raw("POST", "/v1/chat/completions", orjson.dumps({"model": MODEL, "messages": PROMPT}))


async def test_models_are_those_of_the_store(serving: Serving, settings: Settings) -> None:
    (Path(settings.model_store) / "large.gguf").write_bytes(b"GGUF")
    for not_a_model in (".partial", "lost+found"):
        (Path(settings.model_store) / not_a_model).mkdir()
    (Path(settings.model_store) / "notes.txt").write_text("no model")
    assert [model.id async for model in serving.client.models.list()] == ["/models/large.gguf", MODEL]


async def test_loaded_says_what_runs_and_until_when(ready: Serving) -> None:
    await ready.told_in_flight(0)
    listed = await get(ready, "/v1/models/loaded")
    assert listed["total_count"] == 1
    (model,) = listed["loaded_models"]
    assert model["cache_key"] == "tiny_llamacpp_cpu"
    assert (model["model_path"], model["backend"], model["device"], model["ttl"]) == (MODEL, "llamacpp", "cpu", 300)
    assert (model["phase"], model["in_flight"]) == ("Ready", 0)
    assert model["expires_at"] > model["loaded_at"]

    await ready.set_status(model["deployment"], phase="Sleeping")
    await asyncio.gather(*(ready.raw("GET", "/healthz") for _ in range(3)))
    assert (await get(ready, "/v1/models/loaded"))["total_count"] == 0


async def test_unload_deletes_the_deployments_of_the_model(ready: Serving) -> None:
    name = await ready.created()
    assert await unload(ready, model="tiny") == (200, {"unloaded": [name], "message": f"{MODEL} is unloaded."})
    assert await ready.deployments() == []
    status, answer = await unload(ready, model="tiny")
    assert (status, answer["error"]["code"]) == (404, "model_not_loaded")


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


async def test_unload_of_another_backend_leaves_the_model_alone(ready: Serving) -> None:
    status, _ = await unload(ready, model=MODEL, backend="vllm")
    assert status == 404
    assert len(await ready.deployments()) == 1


async def test_unload_that_the_cluster_refuses_leaves_the_model_in_service(ready: Serving) -> None:
    ready.cluster.fail_next("delete", UnavailableError("the API server cannot be reached"))
    status, answer = await unload(ready, model=MODEL)
    assert (status, answer["error"]["code"]) == (503, "cluster_unavailable")
    assert await ready.ask() == "Paris."


async def test_a_router_is_ready_once_it_has_heard_from_the_cluster(serving: Serving) -> None:
    assert (await serving.raw("GET", "/healthz")).status == 200
    assert (await serving.raw("GET", "/readyz")).status == 200


async def test_metrics_count_requests_by_status(ready: Serving) -> None:
    await ready.raw("POST", "/v1/chat/completions", b"no JSON")
    metrics = (await ready.raw("GET", "/metrics")).body.decode()
    assert 'berth_router_requests_total{path="/v1/chat/completions",status="200"} 1.0' in metrics
    assert 'berth_router_requests_total{path="/v1/chat/completions",status="400"} 1.0' in metrics
    assert 'berth_router_hold_seconds_count{outcome="ready"} 1.0' in metrics


async def test_the_openapi_page_describes_inference_too(serving: Serving) -> None:
    assert (await serving.raw("GET", "/docs")).status == 200
    schema = await get(serving, "/openapi.json")
    assert set(schema["paths"]) >= {"/v1/chat/completions", "/v1/models", "/v1/models/loaded", "/v1/models/unload"}
    fields = schema["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert {"model", "messages", "stream", "ttl", "n_ctx", "n_gpu_layers", "backend", "device"} <= set(fields)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "says"),
    [
        ("GET", "/v2/models", {}, 404, "unknown_path", "/docs"),
        ("GET", "/v1/chat/completions", {}, 405, "method_not_allowed", "POST"),
        ("DELETE", "/v1/models", {}, 405, "method_not_allowed", "GET"),
        ("POST", "/v1/models/unload", {"backend": "vllm"}, 400, "invalid_value", "`model`"),
        ("POST", "/v1/models/unload", {"model": "x", "backend": "ollama"}, 400, "invalid_value", "`backend`"),
        ("POST", "/v1/chat/completions", {"model": "x", "messages": [], "n_ctx": 1}, 400, "invalid_value", "`n_ctx`"),
        ("POST", "/v1/chat/completions", {"model": "absent", "messages": []}, 404, "model_not_found", "/v1/models"),
        (
            "POST",
            "/v1/chat/completions",
            {"model": "tiny", "messages": [], "device": "cuda"},
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


async def test_a_second_snapshot_takes_out_what_is_gone(ready: Serving) -> None:
    """A watch that broke may have missed a deletion; the list that follows tells."""
    name = await ready.created()
    ready.cluster.expire_watches()
    await ready.cluster.delete(MODEL_DEPLOYMENTS, name)
    while (await get(ready, "/v1/models/loaded"))["total_count"]:
        pass
    asking = asyncio.create_task(ready.ask())
    await ready.make_ready(await ready.created())
    assert await asking == "Paris."
