"""How many connections and requests the router accepts at once, and what it answers to the others."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.unit.router.conftest import MODEL, Serving
from tests.unit.router.engine import Call
from tests.unit.serving.conftest import called, connections
from tests.unit.serving.wire import Wire, chat, get, request

MOST = 3


async def alone(ready: Serving) -> None:
    """Closes the connection on which the first request for the model came."""
    await ready.client.close()
    await connections(ready, 0)


class Gate:
    """A behaviour: answers once it is open."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, call: Call) -> None:
        await self._open.wait()
        await call.answer()


@pytest.mark.covers("429 too_many_requests, Retry-After")
@pytest.mark.parametrize("settings", [{"max_requests_per_model": 8}], indirect=True)
async def test_400_requests_at_once_for_a_model_that_runs(ready: Serving) -> None:
    gate = ready.engine.behaviour = Gate()
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(ready.port)) for _ in range(400)]
        for wire in wires[:8]:
            await wire.send(request(chat(MODEL)))
        await called(ready.engine, 1 + 8)
        for wire in wires[8:]:
            answer = await wire.ask(request(chat(MODEL)))
            assert (answer.status, answer.error["code"]) == (429, "too_many_requests")
            assert (answer.error["type"], answer.headers["retry-after"]) == ("rate_limit_error", "5")
            assert MODEL in answer.error["message"]
        gate.open()
        for wire in wires[:8]:
            assert (await wire.answer()).status == 200
        assert len(ready.engine.calls) == 1 + 8
        for wire in wires[:10]:
            assert (await wire.ask(request(chat(MODEL)))).status == 200


@pytest.mark.parametrize("settings", [{"max_requests_per_model": 8}], indirect=True)
async def test_a_request_that_ends_in_any_way_makes_room_for_the_next(ready: Serving) -> None:
    async def never(call: Call) -> None:
        await call.begin_stream()
        await asyncio.Event().wait()

    ready.engine.behaviour = never
    await alone(ready)
    for count in range(1, 30):
        with await Wire.connect(ready.port) as wire:
            await wire.send(request(chat(MODEL, stream=True)))
            await called(ready.engine, 1 + count)
            wire.reset()
        await connections(ready, 0)


@pytest.mark.covers("503 server_ending, too_many_connections, Retry-After")
@pytest.mark.parametrize("settings", [{"max_connections": MOST}], indirect=True)
async def test_a_connection_too_many_is_told_so(ready: Serving) -> None:
    gate = ready.engine.behaviour = Gate()
    await alone(ready)
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(ready.port)) for _ in range(MOST)]
        for wire in wires:
            await wire.send(request(chat(MODEL)))
        await called(ready.engine, 1 + MOST)
        for _ in range(3):
            with await Wire.connect(ready.port) as late:
                answer = await late.answer()
                assert (answer.status, answer.error["code"], answer.closes) == (503, "too_many_connections", True)
                assert answer.headers["retry-after"] == "1"
                assert await late.closed()
        gate.open()
        for wire in wires:
            assert (await wire.answer()).status == 200


@pytest.mark.parametrize("settings", [{"max_connections": MOST}], indirect=True)
async def test_the_connection_that_is_idle_for_longest_makes_room(ready: Serving) -> None:
    gate = ready.engine.behaviour = Gate()
    await alone(ready)
    with ExitStack() as stack:
        busy, first, second = [stack.enter_context(await Wire.connect(ready.port)) for _ in range(MOST)]
        await busy.send(request(chat(MODEL)))
        for wire in (second, first, second):
            assert (await wire.ask(get("/healthz"))).status == 200
        new = stack.enter_context(await Wire.connect(ready.port))
        assert (await new.ask(get("/healthz"))).status == 200
        assert await first.closed()
        assert (await second.ask(get("/healthz"))).status == 200
        gate.open()
        assert (await busy.answer()).status == 200


@pytest.mark.parametrize("settings", [{"max_connections": MOST}], indirect=True)
async def test_a_connection_on_which_an_empty_line_came_is_idle_all_the_same(serving: Serving) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(serving.port)) for _ in range(MOST)]
        for wire in wires:
            await wire.send(get("/healthz") + b"\r\n")
            assert (await wire.answer()).status == 200
            await wire.send(b"\r\n")
        new = stack.enter_context(await Wire.connect(serving.port))
        assert (await new.ask(get("/healthz"))).status == 200
        assert await wires[0].closed()


@pytest.mark.parametrize("settings", [{"max_connections": MOST}], indirect=True)
async def test_half_a_request_is_not_idle(serving: Serving) -> None:
    with ExitStack() as stack:
        halves = [stack.enter_context(await Wire.connect(serving.port)) for _ in range(MOST)]
        for wire in halves:
            await wire.send(get("/healthz")[:20])
        await connections(serving, MOST)
        await asyncio.sleep(0)
        with await Wire.connect(serving.port) as late:
            assert (await late.answer()).status == 503
        for wire in halves:
            assert (await wire.ask(get("/healthz")[20:])).status == 200
