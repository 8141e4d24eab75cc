"""Models are evicted: no answer is cut, and a request that comes meanwhile is served by the next start."""

import asyncio
from asyncio import StreamReader
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson
import pytest

from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.unit.router.conftest import MODEL, PROMPT, Serving
from tests.unit.router.engine import Call


async def only(serving: Serving) -> ModelDeployment:
    [manifest] = await serving.deployments()
    return ModelDeployment.parse(manifest)


async def answering(serving: Serving) -> tuple[asyncio.Task[str], asyncio.Event]:
    """A request whose answer is being made, and what lets it end."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> None:
        reached.set()
        await go_on.wait()
        await call.answer()

    serving.engine.behaviour = slow
    task = asyncio.create_task(serving.ask())
    async with asyncio.timeout(10):
        await reached.wait()
    return task, go_on


@asynccontextmanager
async def streamed(serving: Serving, until: bytes) -> AsyncGenerator[StreamReader]:
    """A streaming request whose answer has come to these bytes."""
    body = orjson.dumps({"model": MODEL, "messages": PROMPT, "stream": True})
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            await reader.readuntil(until)
            yield reader
    finally:
        writer.close()


async def test_an_idle_model_that_a_router_made_goes(ready: Serving) -> None:
    assert await ready.router.evictor.evict(await only(ready))
    assert await ready.deployments() == []


async def test_a_model_that_answers_stays(ready: Serving) -> None:
    task, go_on = await answering(ready)
    deployment = await only(ready)
    assert ready.router.evictor.use(deployment).in_flight == 1
    assert not await ready.router.evictor.evict(deployment)
    go_on.set()
    assert await task == "Paris."
    assert len(await ready.deployments()) == 1


async def test_a_request_that_comes_while_the_model_goes_is_answered_by_the_next_one(ready: Serving) -> None:
    deployment = await only(ready)
    ready.router.evictor.mark_evicting(deployment)
    async with streamed(ready, b"waiting for memory") as answer:
        assert ready.router.evictor.use(deployment).in_flight == 0
        assert await ready.router.evictor.evict(deployment)
        found = await ready.until(lambda found: bool(found) and found[0]["metadata"]["uid"] != deployment.uid)
        await ready.make_ready(found[0]["metadata"]["name"])
        await answer.readuntil(b"[DONE]")


async def test_who_has_been_served_before_waits_too(ready: Serving) -> None:
    async with streamed(ready, b"[DONE]"):
        pass
    deployment = await only(ready)
    ready.router.evictor.mark_evicting(deployment)
    async with streamed(ready, b"waiting for memory"):
        ready.router.evictor.unmark_evicting(deployment)


async def test_a_request_goes_on_when_the_model_is_let_stay(ready: Serving) -> None:
    deployment = await only(ready)
    ready.router.evictor.mark_evicting(deployment)
    async with streamed(ready, b"waiting for memory") as answer:
        ready.router.evictor.unmark_evicting(deployment)
        await answer.readuntil(b"[DONE]")
    assert (await only(ready)).uid == deployment.uid


@pytest.fixture
async def declared(serving: Serving) -> Serving:
    """A router with a ready deployment that a person made, and that sleeps when it is idle."""
    spec = {"model": MODEL, "backend": "llamacpp", "device": "cpu"}
    body = {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    await serving.cluster.create(MODEL_DEPLOYMENTS, body)
    await serving.make_ready("mine")
    assert await serving.ask() == "Paris."
    return serving


async def test_what_a_person_declared_takes_no_request_until_it_sleeps_and_wakes_for_it(declared: Serving) -> None:
    going = asyncio.create_task(declared.router.evictor.evict(await only(declared)))
    await declared.until(
        lambda found: any(entry.get("unloadAt") for entry in found[0]["status"].get("activity", {}).values())
    )
    async with streamed(declared, b"waiting for memory") as answer:
        await declared.set_status("mine", phase="Sleeping", endpoint=None)
        assert await going
        await declared.until(
            lambda found: any(entry.get("inFlight") for entry in found[0]["status"].get("activity", {}).values())
        )
        await declared.set_status(
            "mine", phase="Ready", endpoint=declared.engine.url, loadedAt=datetime.now(UTC).isoformat()
        )
        await answer.readuntil(b"[DONE]")
