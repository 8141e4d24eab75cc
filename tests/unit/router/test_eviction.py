"""A model makes room: no answer is cut, and a request that comes meanwhile waits until it can be served.

The operator's part is played by writing `status.eviction` and `status.queue` as it does.
"""

import asyncio
from asyncio import StreamReader
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from tests.unit.router.conftest import MODEL, PROMPT, Serving
from tests.unit.router.engine import Call

CLOSED = "waiting: another model gets the room first"


def moment(seconds: float) -> str:
    """So many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def only(serving: Serving) -> Object:
    [manifest] = await serving.deployments()
    return manifest


async def want_room(serving: Serving, *, close: bool) -> Object:
    """Another model needs the room of the only one, which it returns."""
    found = await only(serving)
    closed = {"closedUntil": moment(60)} if close else {}
    await serving.set_status(found["metadata"]["name"], eviction={"wantedBy": "b", "since": moment(0), **closed})
    return found


async def let_stay(serving: Serving) -> None:
    await serving.set_status((await only(serving))["metadata"]["name"], eviction=None)


@asynccontextmanager
async def answering(serving: Serving) -> AsyncGenerator[tuple["asyncio.Task[str]", asyncio.Event]]:
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
    try:
        yield task, go_on
    finally:
        go_on.set()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def streamed(serving: Serving, until: str) -> AsyncGenerator[StreamReader]:
    """A streaming request whose answer has come to these words."""
    body = orjson.dumps({"model": MODEL, "messages": PROMPT, "stream": True})
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(10):
            await reader.readuntil(until.encode())
            yield reader
    finally:
        writer.close()


def has_lease(found: list[Object]) -> bool:
    return any(entry.get("leaseUntil") for entry in found[0]["status"].get("activity", {}).values())


async def test_a_request_that_comes_while_the_model_is_closed_is_served_by_the_next_one(ready: Serving) -> None:
    closed = await want_room(ready, close=True)
    async with streamed(ready, CLOSED) as answer:
        await ready.cluster.delete(MODEL_DEPLOYMENTS, closed["metadata"]["name"])
        found = await ready.until(
            lambda found: bool(found) and found[0]["metadata"]["uid"] != closed["metadata"]["uid"]
        )
        await ready.make_ready(found[0]["metadata"]["name"])
        await answer.readuntil(b"[DONE]")


async def test_a_request_goes_on_when_the_model_is_let_stay(ready: Serving) -> None:
    closed = await want_room(ready, close=True)
    async with streamed(ready, CLOSED) as answer:
        await let_stay(ready)
        await answer.readuntil(b"[DONE]")
    assert (await only(ready))["metadata"]["uid"] == closed["metadata"]["uid"]


async def test_who_waits_for_a_closed_model_does_not_keep_it(ready: Serving) -> None:
    await want_room(ready, close=True)
    async with streamed(ready, CLOSED):
        await ready.until(lambda found: not has_lease(found))
        await asyncio.sleep(0.5)  # for longer than a queued request waits before it takes a lease
        assert not has_lease(await ready.deployments())


async def test_a_mark_that_has_run_out_closes_nothing(ready: Serving) -> None:
    mark = {"wantedBy": "b", "since": moment(-90), "closedUntil": moment(-1)}
    await ready.set_status((await only(ready))["metadata"]["name"], eviction=mark)
    assert await ready.ask() == "Paris."


async def test_a_model_whose_room_is_wanted_takes_requests_until_it_is_closed(ready: Serving) -> None:
    await want_room(ready, close=False)
    assert await ready.ask() == "Paris."


@pytest.mark.parametrize("close", [False, True], ids=["wanted", "closed"])
async def test_an_answer_under_way_goes_on_and_keeps_its_lease(ready: Serving, close: bool) -> None:
    async with answering(ready) as (task, go_on):
        await ready.until(has_lease)
        await want_room(ready, close=close)
        await asyncio.sleep(0.5)  # for longer than a router needs to give a lease back
        assert has_lease(await ready.deployments())
        go_on.set()
        assert await task == "Paris."
        await ready.until(lambda found: not has_lease(found))


@pytest.mark.parametrize("close", [False, True], ids=["wanted", "closed"])
async def test_a_lease_without_requests_is_given_back_at_once(
    ready: Serving, monkeypatch: pytest.MonkeyPatch, close: bool
) -> None:
    monkeypatch.setattr("berth_router.lifecycle.lease_rules.SETTLE", timedelta(hours=1))
    assert await ready.ask() == "Paris."
    await ready.until(has_lease)
    await want_room(ready, close=close)
    await ready.until(lambda found: not has_lease(found))


@pytest.fixture
async def declared(serving: Serving) -> Serving:
    """A router with a ready deployment that a person made, and that sleeps when it is idle."""
    body = {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": "mine"},
        "spec": {"model": MODEL, "backend": "llamacpp", "device": "cpu"},
    }
    await serving.cluster.create(MODEL_DEPLOYMENTS, body)
    await serving.make_ready("mine")
    assert await serving.ask() == "Paris."
    return serving


async def test_what_fell_asleep_to_make_room_wakes_for_the_request_that_waited(declared: Serving) -> None:
    await want_room(declared, close=True)
    async with streamed(declared, CLOSED) as answer:
        await declared.set_status("mine", phase="Sleeping", endpoint=None, eviction=None, evictedAt=moment(0))
        await declared.until(has_lease)
        await declared.make_ready("mine")
        await answer.readuntil(b"[DONE]")


FULL = "place 2 in the queue: no node has 1 nvidia.com/gpu free"


async def queue(serving: Serving, reason: str, expected: float | None = 40) -> str:
    """The only deployment finds no node, and is the second of those that wait."""
    name = await serving.created()
    stalled = {"type": "Stalled", "status": "True", "reason": reason, "message": FULL}
    expected_at = {} if expected is None else {"expectedAt": moment(expected)}
    place = {"place": 2, "since": moment(-3), **expected_at}
    await serving.set_status(name, phase="Stalled", endpoint=None, conditions=[stalled], queue=place)
    return name


@pytest.mark.parametrize("reason", ["Unschedulable", "DevicesUnavailable"])
async def test_who_waits_for_a_node_reads_its_place_and_is_served_when_there_is_one(
    serving: Serving, reason: str
) -> None:
    asking = asyncio.create_task(serving.ask())
    name = await queue(serving, reason)
    async with streamed(serving, f"Stalled: {FULL}") as answer:
        assert not asking.done()
        await serving.make_ready(name)
        await answer.readuntil(b"[DONE]")
    assert await asking == "Paris."


@pytest.mark.parametrize("settings", [{"cold_start_deadline": 1}], indirect=True)
@pytest.mark.parametrize(("expected", "retry_after"), [(40, range(38, 41)), (None, range(10, 11)), (-5, range(1, 2))])
async def test_at_the_deadline_it_is_told_its_place_and_when_to_come_again(
    serving: Serving, expected: float | None, retry_after: range
) -> None:
    body = orjson.dumps({"model": MODEL, "messages": PROMPT})
    asking = asyncio.create_task(serving.raw("POST", "/v1/chat/completions", body))
    await queue(serving, "DevicesUnavailable", expected)
    reply = await asking
    error: Any = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (503, "deadline_exceeded")
    assert FULL in error["message"]
    assert int(reply.headers["retry-after"]) in retry_after


@pytest.mark.covers("loaded_models[].queue_place", "loaded_models[].room_expected_at")
@pytest.mark.parametrize("phase", ["Pending", "Stalled"])
async def test_who_waits_for_room_is_listed_with_its_place(ready: Serving, phase: str) -> None:
    async def listed() -> Any:
        return orjson.loads((await ready.raw("GET", "/v1/models/loaded")).body)["loaded_models"]

    [before] = await listed()
    assert (before["queue_place"], before["room_expected_at"]) == (None, None)
    place = {"place": 2, "since": moment(-3), "expectedAt": "2031-01-02T12:00:00Z"}
    await ready.set_status((await only(ready))["metadata"]["name"], phase=phase, endpoint=None, queue=place)
    [waits] = await listed()
    assert (waits["phase"], waits["queue_place"]) == (phase, 2)
    assert waits["room_expected_at"] == "2031-01-02T12:00:00Z"
