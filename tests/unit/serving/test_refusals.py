"""A refusal reaches a client that still sends its request, and the rest of what it sends is no request."""

import asyncio
from contextlib import suppress

import pytest

from tests.unit.router.conftest import Serving
from tests.unit.serving.conftest import connections
from tests.unit.serving.test_keys import guarded, with_keys
from tests.unit.serving.wire import CHAT, Wire, get, request

__all__ = ["guarded", "with_keys"]

MIB = 1 << 20
REFUSED = {
    "without a key": (request(headers=f"Content-Length: {8 * MIB}\r\n"), 401),
    "by a wrong key": (request(headers=f"Content-Length: {8 * MIB}\r\nX-Api-Key: wrong\r\n"), 401),
    "too long": (request(headers=f"Content-Length: {80 * MIB}\r\nAuthorization: Bearer key-of-bob\r\n"), 413),
    "too long for management": (
        request(path="/v1/models/unload", headers=f"Content-Length: {8 * MIB}\r\nX-Api-Key: key-of-bob\r\n"),
        413,
    ),
    "by its method": (request(method="PUT", headers=f"Content-Length: {8 * MIB}\r\nX-Api-Key: key-of-bob\r\n"), 405),
    "not in the coding": (request(headers="Transfer-Encoding: chunked\r\nX-Api-Key: key-of-bob\r\n") + b"x\r\n", 400),
    "no head": (b"GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
    "an endless head": (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, 431),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_reaches_a_client_that_sends_on(guarded: Serving, name: str) -> None:
    refused, status = REFUSED[name]

    async def send_on(wire: Wire) -> None:
        with suppress(ConnectionError):
            await wire.send(refused)
            for _ in range(8):
                await wire.send(get("/healthz") * (MIB // len(get("/healthz"))))

    with await Wire.connect(guarded.port) as wire:
        sending = asyncio.create_task(send_on(wire))
        answer = await wire.answer()
        assert (answer.status, answer.closes, answer.whole) == (status, True, True)
        assert "message" in answer.error
        await sending
        with suppress(ConnectionError):
            assert await wire.answers.rest() == b""
    await connections(guarded, 0)


async def test_a_refused_client_that_sends_on_for_ever_is_cut_off(guarded: Serving) -> None:
    with await Wire.connect(guarded.port) as wire:
        assert (await wire.ask(REFUSED["without a key"][0])).status == 401
        with pytest.raises(ConnectionError):
            await wire.send(b"x" * 1000 * MIB)
    await connections(guarded, 0)


async def test_a_refused_client_that_reads_on_has_its_answer_closed_in_order(guarded: Serving) -> None:
    with await Wire.connect(guarded.port) as wire:
        assert (await wire.ask(request(path=CHAT, headers="Content-Length: 5\r\n"))).status == 401
        assert await wire.closed()
        wire.half_close()
    await connections(guarded, 0)
