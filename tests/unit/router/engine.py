"""A small HTTP server on loopback that stands for an engine, and misbehaves on demand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import orjson

from tests.unit.addresses import own_address

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris."}}],
}


def chunk(text: str) -> bytes:
    """One event of a streamed completion. Each has the role, as the first one must."""
    content = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}],
    }
    return b"data: " + orjson.dumps(content) + b"\n\n"


class Call:
    """One request to the engine, and the ways to answer it."""

    def __init__(
        self,
        path: str,
        headers: dict[str, str],
        body: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self._reader = reader
        self._writer = writer

    async def think_until_the_client_leaves(self) -> None:
        """No answer. Returns when the other side has closed the connection."""
        assert await self._reader.read() == b""

    async def answer(self, content: Any = COMPLETION, status: str = "200 OK") -> None:
        """A whole answer."""
        body = orjson.dumps(content)
        self._write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await self._writer.drain()

    async def begin_stream(self) -> None:
        """The head of a stream of events."""
        self._write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._writer.drain()

    async def stream(self, data: bytes) -> None:
        """A part of the stream; none ends it."""
        self._write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def send(self, data: bytes) -> None:
        """These bytes, whatever they are, in a piece of their own."""
        self._write(data)
        await self._writer.drain()
        await asyncio.sleep(0.001)  # a piece that comes with the next would be another case

    def break_off(self) -> None:
        """Cuts the connection."""
        self._writer.transport.abort()

    async def break_off_after_sending(self) -> None:
        """Closes the connection once all that was written is on its way."""
        self._writer.close()
        await self._writer.wait_closed()

    def begin_answer(self, length: int, part: bytes) -> None:
        """An answer of so many bytes, of which only a part comes."""
        self._write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length + part)

    def _write(self, data: bytes) -> None:
        self._writer.write(data)


Behaviour = Callable[[Call], Awaitable[None]]


async def answer_at_once(call: Call) -> None:
    """What a well-behaved engine does, streamed or not."""
    if not call.body.get("stream"):
        await call.answer()
        return
    await call.begin_stream()
    for word in ("Par", "is."):
        await call.stream(chunk(word))
    await call.stream(b"data: [DONE]\n\n")
    await call.stream(b"")


class Engine:
    """The server.

    `calls` are the requests it got, `connections` how many connections were made, `left` is set when one is closed.
    """

    def __init__(self) -> None:
        self.behaviour: Behaviour = answer_at_once
        self.calls: list[Call] = []
        self.connections = 0
        self.left = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, own_address(), 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The base URL."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Closes the port and all connections, as a killed engine does."""
        if self._server and self._server.is_serving():
            self._server.close()
            self.drop_connections()
            await self._server.wait_closed()

    def drop_connections(self) -> None:
        """Closes all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                call = await _read_call(reader, writer)
                self.calls.append(call)
                await self.behaviour(call)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self.left.set()
            writer.close()


async def _read_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call:
    request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = orjson.loads(await reader.readexactly(int(headers["content-length"])))
    return Call(request.split(" ")[1], headers, body, reader, writer)
