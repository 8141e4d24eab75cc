"""Clients' connections: what becomes of each, whatever its client does."""

import asyncio
import socket
import struct

import orjson
import pytest

from tests.unit.router.conftest import MODEL, PROMPT, Serving
from tests.unit.router.engine import Call, chunk

REQUEST = orjson.dumps({"model": MODEL, "messages": PROMPT})


async def endless(call: Call) -> None:
    await call.begin_stream()
    while True:
        await call.stream(chunk("on and "))
        await asyncio.sleep(0.01)


async def test_a_client_that_leaves_before_the_answer_begins_frees_the_engine(ready: Serving) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def think(call: Call) -> None:
        asked.set()
        await call.think_until_the_client_leaves()
        left.set()

    ready.engine.behaviour = think
    asking = asyncio.create_task(ready.raw("POST", "/v1/chat/completions", REQUEST))
    await asked.wait()
    asking.cancel()
    async with asyncio.timeout(10):
        await left.wait()
    await ready.reported_in_flight(0)


async def test_a_connection_is_closed_after_the_answer_where_the_client_wants_that(ready: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(REQUEST)}\r\n\r\n".encode() + REQUEST)
    async with asyncio.timeout(10):
        received = await reader.read()  # which returns at the end of the connection
    writer.close()
    answered, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in answered.lower()
    assert orjson.loads(body)["object"] == "chat.completion"


async def test_the_connection_is_kept_for_the_next_request(ready: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(REQUEST)}\r\n\r\n".encode()
    async with asyncio.timeout(10):
        for _ in range(3):
            writer.write(head + REQUEST)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            assert orjson.loads(await reader.readexactly(length))["object"] == "chat.completion"
    writer.close()


async def test_a_stream_never_goes_to_another_client_than_its_own(ready: Serving) -> None:
    stream = orjson.dumps({"model": MODEL, "messages": PROMPT, "stream": True})
    ready.engine.behaviour = endless
    ready.engine.left.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(stream)}\r\n\r\n".encode() + stream
    )
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b"on and ")
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the close is a reset
        writer.close()
        await ready.engine.left.wait()
    await ready.reported_in_flight(0)
    # The next connection is given the number of the one that was closed.
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    assert received.startswith(b"HTTP/1.1 200")
    assert b"on and " not in received


@pytest.mark.parametrize("pieces", [1, 40], ids=["at once", "in pieces"])
async def test_a_head_of_more_than_64_kib_is_refused(ready: Serving, pieces: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nx-long: ")
    for _ in range(pieces):
        writer.write(b"a" * (80_000 // pieces))
        await asyncio.sleep(0)
    writer.write(b"\r\n\r\n")
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert orjson.loads(body)["error"]["code"] == "head_too_large"
