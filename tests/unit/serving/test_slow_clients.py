"""Clients that read their answers slowly, or not at all: each costs one buffer, and in the end its connection."""

import asyncio
import socket

import pytest

from tests.unit.router.conftest import MODEL, Serving
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, counted
from tests.unit.serving.wire import CHAT, PATIENCE_SECONDS, Wire, chat, get, request

MIB = 1 << 20
KERNELS_BYTES = 16 * MIB
"""What the kernel may keep of a connection at both ends, by its defaults, and twice as much."""

STREAM = request(chat(MODEL, stream=True))
SMALL = 4096
ENDLESS = b"%x\r\n%b\r\n" % (MIB, b"x" * MIB) * (2 * KERNELS_BYTES // MIB)


async def sent_until_held_up(sender: socket.socket, data: bytes, port: int) -> int:
    """How many of these bytes are taken until no more are."""
    sent = held_up = 0
    while sent < len(data) and held_up < 2:
        try:
            sent += sender.send(data[sent : sent + MIB])
            held_up = 0
        except BlockingIOError:
            await the_router_does_all_it_can(port)
            held_up += 1
    return sent


async def the_router_does_all_it_can(port: int, turns: int = 10) -> None:
    """Returns when every client of the router has had so many turns. Another client's requests are the clock."""
    with await Wire.connect(port) as other:
        for _ in range(turns):
            assert (await other.ask(get("/healthz"))).status == 200


async def be_slow(wire: Wire, port: int) -> int:
    """Asks for more than the kernel takes, and reads nothing. Returns how many answers were asked for."""
    count = KERNELS_BYTES // len((await wire.ask(get("/openapi.json"))).body)
    await wire.send(get("/openapi.json") * count)
    await the_router_does_all_it_can(port, count)
    return count


async def test_the_engine_of_a_client_that_does_not_read_is_held_up(raw: Raw) -> None:
    with await Wire.connect(raw.port, buffers=SMALL) as wire:
        await wire.send(STREAM)
        await raw.idle.request()
        raw.idle.send(EVENTS + CHUNKED)
        assert await sent_until_held_up(raw.idle.socket, ENDLESS, raw.port) < len(ENDLESS)
        wire.reset()
        await raw.idle.closed()


async def test_a_client_that_does_not_read_gets_no_more_answers_than_fit_its_buffer(serving: Serving) -> None:
    """Without a key, and without an engine: a refusal is made at once, whoever reads it."""
    refused = get(CHAT)
    with await Wire.connect(serving.port, buffers=SMALL) as wire:
        count = await be_slow(wire, serving.port)
        requests = refused * 70_000
        sent = await sent_until_held_up(wire.socket, requests, serving.port)
        assert sent < len(requests)
        for _ in range(count):
            assert (await wire.answer()).status == 200
        for _ in range(sent // len(refused)):
            assert (await wire.answer()).status == 405


async def test_a_request_waits_until_the_answers_before_it_have_been_taken(raw: Raw) -> None:
    """Else its own answer would be kept too, and the next one's."""
    with await Wire.connect(raw.port, buffers=SMALL) as wire:
        count = await be_slow(wire, raw.port)
        await wire.send(STREAM)
        await the_router_does_all_it_can(raw.port, count)
        assert not raw.idle.has_received()
        for _ in range(count):
            assert (await wire.answer()).status == 200
        (await raw.asked()).send(counted(b"at last"))
        assert (await wire.answer()).body == b"at last"


@pytest.mark.parametrize("settings", [{"stalled_client_seconds": 0.2}], indirect=True)
async def test_a_client_that_never_reads_is_cut_off(raw: Raw) -> None:
    with await Wire.connect(raw.port, buffers=SMALL) as wire:
        await wire.send(STREAM)
        await raw.idle.request()
        with pytest.raises(ConnectionError):
            await raw.idle.send_all(EVENTS + CHUNKED + ENDLESS * 2)


@pytest.mark.parametrize("settings", [{"stalled_client_seconds": 0.2}], indirect=True)
async def test_a_client_that_never_reads_what_it_asked_for_at_once_is_cut_off(serving: Serving) -> None:
    with await Wire.connect(serving.port, buffers=SMALL) as wire:
        await be_slow(wire, serving.port)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while serving.server.connection_count:  # noqa: ASYNC110 (only the server knows)
                await asyncio.sleep(0.01)


async def test_a_client_that_ends_its_side_has_left_though_it_has_not_read(raw: Raw) -> None:
    with await Wire.connect(raw.port, buffers=SMALL) as wire:
        await wire.send(STREAM)
        await raw.idle.request()
        raw.idle.send(EVENTS + CHUNKED)
        assert await sent_until_held_up(raw.idle.socket, ENDLESS, raw.port) < len(ENDLESS)
        wire.half_close()
        await raw.idle.closed()
