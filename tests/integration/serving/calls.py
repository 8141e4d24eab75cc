"""One request to a bench engine, and the ways to answer it."""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from random import Random

from tests.integration.serving.prompts import DONE, MARKER, SMUGGLED, Prompt

_RACE_SECONDS = 0.1
"""In which a request comes that was sent before the router could see what it did not ask for."""


@dataclass
class Record:
    """What the engines of a process saw."""

    running: int = 0
    """Requests that are being answered."""
    requests: int = 0
    connections: int = 0
    poisons: int = 0
    """How often something was sent outside of an answer."""
    raced: list[str] = field(default_factory=list[str])
    """What was sent so while the router was sending the next request: nobody can know that it is no answer to that."""
    faults: list[str] = field(default_factory=list[str])
    """What the router sent and must not send."""


class GoneError(Exception):
    """The router has closed the connection, or the engine has."""


class Call:
    """A request, on its connection."""

    def __init__(self, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._record = record
        self._reader = reader
        self._writer = writer
        self._early = b""
        """A byte of the next request, which was read to see whether there is one."""
        self._ended = False
        self.prompt = Prompt("", "")
        self.model = ""
        self.streams = False
        self.random = Random(0)  # noqa: S311 (no secret)

    async def read(self) -> None:
        """Reads the next request of the connection. Raises GoneError."""
        try:
            head = self._early + await self._reader.readuntil(b"\r\n\r\n")
            self._early = b""
            lines = head.lower().split(b"\r\n")
            lengths = [line for line in lines if line.startswith((b"content-length:", b"transfer-"))]
            if len(lengths) != 1 or not head.startswith(b"POST /v1/"):
                self._fault(f"a head that is not the router's: {head[:300]!r}")
                raise GoneError
            body = await self._reader.readexactly(int(lengths[0].partition(b":")[2]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise GoneError from error
        self._record.requests += 1
        content = json.loads(body)
        text = content["messages"][0]["content"] if "messages" in content else content["prompt"]
        self.prompt = Prompt.read(text)
        self.model, self.streams = content["model"], bool(content.get("stream"))
        self.random = Random(self.prompt.marker)  # noqa: S311 (no secret)
        if self.prompt.do == SMUGGLED:
            self._fault(f"a hidden request got through: {head[:300]!r}")
        if len(set(MARKER.findall(body))) != 1:
            self._fault(f"two requests in one: {body[:300]!r}")

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._writer.is_closing() or self._reader.at_eof()

    def event(self, number: int) -> bytes:
        """A part of the answer."""
        return self.prompt.event(number, self.model)

    def events(self) -> list[bytes]:
        """The answer as a stream, without its end."""
        return self.prompt.events(self.model)

    def done(self) -> bytes:
        """The last event of a stream."""
        return DONE

    def whole(self) -> bytes:
        """The answer as one body."""
        return self.prompt.whole(self.model)

    def refusal(self) -> bytes:
        """A refusal as one body."""
        return json.dumps(self.prompt.refusal()).encode()

    def poison(self) -> bytes:
        """Bytes that must reach no client."""
        self._record.poisons += 1
        return b"POISON-%dZ" % self._record.poisons

    async def send(self, data: bytes) -> None:
        """Sends these bytes. Raises GoneError."""
        if self._writer.is_closing() or self._ended:
            raise GoneError
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise GoneError from error

    async def pause(self) -> None:
        """Waits for as long as the prompt says."""
        if self.prompt.pause:
            await asyncio.sleep(self.prompt.pause)

    async def poison_idle(self, seconds: float) -> None:
        """Sends poison after so many seconds, where no request has come until then. Raises GoneError."""
        if await self._next_comes_within(seconds):
            return
        poison = self.poison()
        await self.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(poison) + poison)
        # On loopback it is with the router at once, which looks before it sends. What was sent before is here at once,
        # too; twice, since the time may be over before the event loop has looked at what came.
        if await self._next_comes_within(_RACE_SECONDS) or await self._next_comes_within(_RACE_SECONDS):
            self._record.raced.append(poison.decode())
        elif await self._next_comes_within(20):
            self._fault("a request came on a connection on which something lay that nobody had asked for")
        else:
            self._fault("a connection is kept on which something came that nobody had asked for")
        raise GoneError

    async def until_closed(self) -> None:
        """Returns when the router has closed the connection. Raises GoneError."""
        if await self._next_comes_within(60):
            self._fault("a request came while the one before it was answered")
        raise GoneError

    async def _next_comes_within(self, seconds: float) -> bool:
        """Whether a byte of the next request has come. Raises GoneError where none will."""
        try:
            async with asyncio.timeout(seconds):
                self._early = await self._reader.read(1)
        except TimeoutError:
            return False
        except ConnectionError as error:
            raise GoneError from error
        if not self._early:
            raise GoneError
        return True

    async def close(self) -> None:
        """Closes in order. Raises GoneError."""
        self._writer.close()
        raise GoneError

    def end(self) -> None:
        """Closes the engine's side alone."""
        self._ended = True
        self._writer.write_eof()

    def reset(self) -> None:
        """Closes with a reset. Raises GoneError."""
        connected: socket.socket = self._writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise GoneError

    def _fault(self, text: str) -> None:
        self._record.faults.append(text)
