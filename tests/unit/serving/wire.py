"""HTTP as bytes: a client's connection that does whatever a test says, and a strict reader of answers."""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

PATIENCE_SECONDS = 20
"""When a test gives up. A test that passes never waits for so long."""

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) [\x20-\x7e]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9a-z-]+): ([\x20-\x7e\x80-\xff]*)")
_CHUNK_LINE = re.compile(rb"[0-9a-fA-F]{1,16}")
_BODILESS = frozenset({204, 304})


class NotHttpError(Exception):
    """The bytes are no answer of HTTP/1.1."""


@dataclass
class Answer:
    """An answer, as far as it came."""

    status: int = 0
    """0 where nothing of it came."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    whole: bool = False
    """Whether it ended where its framing says; if that is the connection's end, whether it was closed in order."""
    interim: list[int] = field(default_factory=list[int])
    """Statuses of the answers that went before it."""

    @property
    def closes(self) -> bool:
        """Whether its head says that the connection ends after it."""
        return self.headers.get("connection") == "close"

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the API."""
        return orjson.loads(self.body)["error"]


class AnswerReader:
    """Reads answers one after the other.

    `source` gives the next bytes, none at the end, and raises ConnectionError at a reset.
    """

    def __init__(self, source: Callable[[], Awaitable[bytes]]) -> None:
        self._source = source
        self._buffer = b""
        self._body: bytearray = bytearray()
        """Of the answer that is being read."""

    @property
    def unread(self) -> bytes:
        """What came behind the last answer."""
        return self._buffer

    async def answer(self, method: str = "POST", on_interim: Callable[[], Awaitable[None]] | None = None) -> Answer:
        """The next answer, or what came of it. `on_interim` is called at each interim one. Raises NotHttpError."""
        answer = Answer()
        self._body.clear()
        with suppress(EOFError, ConnectionError):
            await self._read(answer, method, on_interim)
        answer.body = bytes(self._body)
        return answer

    async def rest(self) -> bytes:
        """All that still comes. Raises ConnectionError at a reset."""
        parts, self._buffer = [self._buffer], b""
        while data := await self._source():
            parts.append(data)
        return b"".join(parts)

    async def _read(self, answer: Answer, method: str, on_interim: Callable[[], Awaitable[None]] | None) -> None:
        while True:
            status, headers = await self._head()
            if status >= 200:
                break
            answer.interim.append(status)
            if on_interim:
                await on_interim()
        answer.status, answer.headers = status, headers
        chunked = headers.get("transfer-encoding") == "chunked"
        if "transfer-encoding" in headers and (not chunked or "content-length" in headers or status in _BODILESS):
            raise NotHttpError(f"framing of {status}: {headers}")
        if status in _BODILESS or method == "HEAD":
            answer.whole = True
        elif chunked:
            await self._chunks(answer)
        elif "content-length" in headers:
            await self._counted(answer, int(headers["content-length"]))
        elif "connection" in headers:
            self._body += await self.rest()
            answer.whole = True
        else:
            raise NotHttpError(f"nobody knows where this ends: {status} {headers}")

    async def _head(self) -> tuple[int, dict[str, str]]:
        line = await self._line()
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise NotHttpError(f"no status line: {line[:200]!r}")
        headers: dict[str, str] = {}
        while line := await self._line():
            pair = _FIELD_LINE.fullmatch(line)
            if pair is None or pair[1].decode() in headers:
                raise NotHttpError(f"no header, or a second one: {line[:200]!r}")
            headers[pair[1].decode()] = pair[2].decode("latin-1")
        return int(found[1]), headers

    async def _counted(self, answer: Answer, length: int) -> None:
        while (left := length - len(self._body)) > 0:
            if not self._buffer:
                await self._more()
            self._body += self._buffer[:left]
            self._buffer = self._buffer[left:]
        answer.whole = True

    async def _chunks(self, answer: Answer) -> None:
        while True:
            line = await self._line()
            if not _CHUNK_LINE.fullmatch(line):
                raise NotHttpError(f"no size of a chunk: {line[:200]!r}")
            size = int(line, 16)
            if size == 0:
                if await self._line():
                    raise NotHttpError("trailers")
                answer.whole = True
                return
            while len(self._buffer) < size + 2:
                taken = min(len(self._buffer), size)
                self._body += self._buffer[:taken]
                self._buffer, size = self._buffer[taken:], size - taken
                await self._more()
            self._body += self._buffer[:size]
            if self._buffer[size : size + 2] != b"\r\n":
                raise NotHttpError(f"a chunk goes on: {self._buffer[size : size + 20]!r}")
            self._buffer = self._buffer[size + 2 :]

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    async def _more(self) -> None:
        data = await self._source()
        if not data:
            raise EOFError
        self._buffer += data


class Wire:
    """A client's connection. It reads only when it is told to. Use as a context."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.most = 65536
        """Bytes that are read at once."""
        self.answers = AnswerReader(self.receive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @classmethod
    async def connect(cls, port: int, *, buffers: int | None = None) -> Self:
        """A connection to loopback. `buffers`: bytes that the kernel keeps for a client, each way; more if left out.

        Raises ConnectionError.
        """
        connected = socket.socket()
        connected.setblocking(False)
        if buffers is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        try:
            await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
        except BaseException:
            connected.close()
            raise
        return cls(connected)

    async def send(self, data: bytes) -> None:
        """Sends these bytes. Raises ConnectionError, and TimeoutError where nobody takes them."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self) -> bytes:
        """The next bytes; none at the end. Raises ConnectionError, and TimeoutError where none come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.socket, self.most)

    async def answer(self, method: str = "POST") -> Answer:
        """The next answer."""
        return await self.answers.answer(method)

    async def ask(self, request: bytes, method: str = "POST") -> Answer:
        """Sends a request, and returns its answer."""
        await self.send(request)
        return await self.answer(method)

    async def until(self, words: bytes) -> bytes:
        """What comes, up to the piece with these words in it. Raises EOFError where they do not come."""
        received = b""
        while words not in received:
            data = await self.receive()
            if not data:
                raise EOFError(received)
            received += data
        return received

    async def closed(self) -> bool:
        """Waits for the end of the connection. Says whether it was closed in order, with nothing more said before."""
        try:
            return await self.answers.rest() == b""
        except ConnectionError:
            return False

    def half_close(self) -> None:
        """Says that no more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leaves with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


CHAT = "/v1/chat/completions"


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = CHAT,
    headers: str = "",
    version: str = "1.1",
) -> bytes:
    """A request's bytes. A body gets its Content-Length."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{headers}{length}\r\n".encode() + body


def chat(model: str, content: str = "hello", **fields: Any) -> bytes:
    """The body of a chat."""
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": content}], **fields})


def get(path: str, headers: str = "") -> bytes:
    """A request without a body."""
    return request(method="GET", path=path, headers=headers)


def chunked(*parts: bytes) -> bytes:
    """A body in the chunked coding, a chunk for each part."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
