"""Models are loaded without a prompt, by Berth's path and by those of llama.cpp's router."""

import asyncio
from typing import Any

import orjson
import pytest

from berth_router.management.model_feed import ModelFeed
from tests.unit.router.conftest import Reply, Serving
from tests.unit.router.management import call


async def post(serving: Serving, path: str, **fields: Any) -> Reply:
    return await serving.raw("POST", path, orjson.dumps(fields))


@pytest.mark.covers(
    "POST /v1/models/load: model (request)",
    "POST /v1/models/load: backend (request)",
    "POST /v1/models/load: device (request)",
    "ttl (request)",
    "n_ctx (request)",
    "n_gpu_layers (request)",
    "success",
    "POST /v1/models/load: model",
    "POST /v1/models/load: status",
)
async def test_a_load_answers_when_the_model_is_ready(serving: Serving) -> None:
    stated = {"backend": "llamacpp", "device": "cpu", "ttl": 7, "n_ctx": 1024, "n_gpu_layers": 0}
    loading = asyncio.create_task(post(serving, "/v1/models/load", model="tiny", **stated))
    name = await serving.created()
    assert not loading.done()
    await serving.make_ready(name)
    reply = await loading
    assert (reply.status, orjson.loads(reply.body)) == (200, {"success": True, "model": "tiny", "status": "loaded"})
    [deployment] = await serving.deployments()
    spec = deployment["spec"]
    assert (spec["idle"]["ttlSeconds"], spec["llamacpp"]["contextSize"]) == (7, 1024)
    assert (await post(serving, "/v1/models/load", model="/models/tiny")).status == 200
    assert serving.engine.calls == []


@pytest.mark.covers("gpu_memory_utilization (request)", "max_model_len (request)", "400 unknown_field")
@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({}, 400, "missing_required_parameter", "model"),
        ({"model": "absent"}, 404, "model_not_found", "model"),
        ({"model": "tiny", "gpu_memory_utilization": 7}, 400, "invalid_value", "gpu_memory_utilization"),
        ({"model": "tiny", "max_model_len": 7}, 400, "invalid_value", "max_model_len"),
        ({"model": "tiny", "messages": []}, 400, "unknown_field", "messages"),
        ({"model": "tiny", "n_ctxx": 4096}, 400, "unknown_field", "n_ctxx"),
        ({"model": "tiny", "extra_args": []}, 400, "unknown_field", "extra_args"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models/load", "/models/load"])
async def test_what_cannot_be_loaded_is_refused(
    serving: Serving, path: str, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    reply = await post(serving, path, **fields)
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["param"]) == (status, code, param)
    assert ("Did you mean `n_ctx`?" in error["message"]) == (param == "n_ctxx")


async def test_a_number_that_is_too_large_is_shown_as_it_was_written(serving: Serving) -> None:
    reply = await serving.raw("POST", "/v1/models/load", b'{"model": "tiny", "ttl": 99999999999999999999}')
    assert orjson.loads(reply.body)["error"]["message"].endswith("; got '99999999999999999999'.")


@pytest.mark.covers("POST /models/load")
async def test_llamacpps_load_answers_when_the_start_is_under_way(serving: Serving) -> None:
    reply = await post(serving, "/models/load", model="tiny")
    assert (reply.status, orjson.loads(reply.body)) == (200, {"success": True, "model": "tiny", "status": "loading"})
    assert (await post(serving, "/models/load", model="tiny")).status == 200
    await serving.make_ready(await serving.created())
    assert await serving.ask() == "Paris."
    assert orjson.loads((await post(serving, "/models/load", model="tiny")).body)["status"] == "loaded"


async def test_a_load_of_what_cannot_start_says_why(serving: Serving) -> None:
    loading = asyncio.create_task(post(serving, "/v1/models/load", model="tiny"))
    await serving.make_stalled(await serving.created(), "EngineFailed", "it broke")
    assert (await loading).status == 503
    reply = await post(serving, "/models/load", model="tiny")
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (503, "engine_failed")


async def test_loads_that_go_on_have_a_bound(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their clients have had an answer, so that no other limit counts them."""
    monkeypatch.setattr("berth_router.serving.load_path._MOST_LOADS", 2)
    statuses = [(await post(serving, "/models/load", model="tiny", ttl=ttl)).status for ttl in (1, 2, 3, 2)]
    assert statuses == [200, 200, 429, 200]
    await serving.make_ready(await serving.created())
    assert (await post(serving, "/v1/models/load", model="tiny")).status == 200
    assert (await post(serving, "/models/load", model="tiny", ttl=3)).status == 200


async def test_a_load_that_goes_on_does_not_hold_up_the_routers_end(serving: Serving) -> None:
    assert (await post(serving, "/models/load", model="tiny")).status == 200
    await serving.make_ready(await serving.created())
    await serving.set_status(await serving.created(), phase="Sleeping", endpoint=None)
    assert (await post(serving, "/models/load", model="tiny")).status == 200
    await serving.reported_in_flight(1)  # its claim; the end of this test is the router's


@pytest.mark.covers("GET /models", "POST /models/unload")
async def test_llamacpps_clients_see_and_unload(ready: Serving) -> None:
    listed = (await call(ready, "GET", "/models"))[1]
    assert listed == (await call(ready, "GET", "/v1/models"))[1]
    assert [(model["id"], model["status"]["value"]) for model in listed["data"]] == [("tiny", "loaded")]
    reply = await post(ready, "/models/unload", model="tiny")  # without a content type, as llama.cpp takes it
    assert (reply.status, orjson.loads(reply.body)) == (200, {"success": True})
    assert (await call(ready, "GET", "/models?reload=1"))[1]["data"][0]["status"]["value"] == "unloaded"
    assert (await post(ready, "/models/unload", model="tiny")).status == 404
    assert (await post(ready, "/models/unload", model=5)).status == 400


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "nonsense"])
async def test_json_is_read_whatever_the_content_type_says(ready: Serving, kind: str) -> None:
    for path, body, status in (
        ("/v1/models/plan", {"model": "tiny"}, 200),
        ("/v1/models/download", {"url": "?"}, 400),
        ("/v1/models/verify-repo", {"url": "?"}, 400),
        ("/v1/models/unload", {"model": "tiny"}, 200),
    ):
        reply = await ready.raw("POST", path, orjson.dumps(body), f"Content-Type: {kind}\r\n")
        assert reply.status == status, path
        assert status == 200 or orjson.loads(reply.body)["error"]["param"] == "url"


@pytest.mark.covers("not offered")
@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/models", 405), ("DELETE", "/models", 405)])
async def test_what_has_a_path_of_its_own_is_not_offered(serving: Serving, method: str, path: str, status: int) -> None:
    assert (await serving.raw(method, path)).status == status


class Listening:
    """A client of /models/sse."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def event(self) -> tuple[str, str, dict[str, Any]]:
        async with asyncio.timeout(10):
            while not (line := await self._reader.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        found = orjson.loads(line.removeprefix(b"data: "))
        return found["model"], found["event"], found["data"]

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            await self._reader.readuntil(text)


@pytest.mark.covers("GET /models/sse")
async def test_llamacpps_clients_hear_what_becomes_of_models(serving: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    writer.write(b"GET /models/sse HTTP/1.1\r\nHost: x\r\n\r\n")
    client = Listening(reader)
    await client.until(b": the events of all models")
    await post(serving, "/models/load", model="tiny")
    name = await serving.created()
    assert await client.event() == ("tiny", "model_status", {"status": "loading"})
    await serving.make_ready(name)
    assert await client.event() == ("tiny", "status_change", {"status": "loaded"})
    await serving.make_stalled(name, "EngineFailed", "it broke")
    assert await client.event() == ("tiny", "status_change", {"status": "unloaded", "exit_code": 1})
    await serving.make_ready(name)
    assert await client.event() == ("tiny", "status_change", {"status": "loaded"})
    await call(serving, "POST", "/models/unload", model="tiny")
    assert await client.event() == ("tiny", "status_change", {"status": "unloaded", "exit_code": 0})
    await serving.router.drain(serving.server, 5)
    await client.until(b"\r\n0\r\n\r\n")
    writer.close()


async def test_a_listener_that_takes_nothing_is_let_go(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_router.management.model_feed._MOST_EVENTS", 2)
    feed = ModelFeed(serving.router._deployments)  # pyright: ignore[reportPrivateUsage]
    events = feed.events()
    assert await anext(events) == b": the events of all models\n\n"
    await post(serving, "/models/load", model="tiny")
    name = await serving.created()
    await serving.make_ready(name)
    for _ in range(3):
        await serving.set_status(name, phase="Sleeping")
        await serving.make_ready(name)
    assert len([event async for event in events]) == 2


async def test_who_listens_when_the_router_ends_is_told_so_at_once(serving: Serving) -> None:
    feed = ModelFeed(serving.router._deployments)  # pyright: ignore[reportPrivateUsage]
    feed.close()
    assert [event async for event in feed.events()] == [b": the events of all models\n\n"]
