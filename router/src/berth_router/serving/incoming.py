"""What comes from a client before its request is whole: heads, bodies, and bytes that the router cannot use yet."""

from collections.abc import Callable
from typing import Protocol

from berth_router.errors import HeadTooLargeError, InvalidHttpError, RequestTooLargeError, ServiceUnavailableError
from berth_router.serving.chunked import ChunkedDecoder, ChunkError
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import HEAD_END, HeadError, KnownHead, RequestHead, parse_request_head
from berth_router.serving.limits import PIPELINED_BYTES, ByteBudget

_EMPTY_LINE = b"\r\n"
_CR = 0x0D

_SMALL_PART = 4096
"""Bytes up to which parts of a body are joined as they come: each part costs some fifty bytes more."""


class IncomingHeads:
    """Finds each head in bytes that come in pieces cut anywhere. Reserves room for a head until it is whole."""

    __slots__ = ("_budget", "_last_head", "_max_bytes", "_room", "begun", "partial")

    def __init__(self, max_bytes: int, budget: ByteBudget) -> None:
        """`max_bytes`: of one head. `budget`: room for the heads of all connections."""
        self._max_bytes = max_bytes
        self._budget = budget
        self._room = 0
        """Bytes of the budget that are reserved."""
        self._last_head: tuple[KnownHead, RequestHead] | None = None
        """The next head is mostly the same."""
        self.partial = bytearray()
        """What came of a head that is not whole."""
        self.begun = False
        """Whether a head began with the bytes that came last, and is not whole."""

    def feed(self, data: bytes) -> tuple[RequestHead, int, bytes, int] | None:
        """Takes the next bytes. Returns None where no head is whole yet.

        Else returns a head, the length of the body that it states, the bytes that begin with the head, and where in
        them it ends. Raises APIError where what came is no request that could be answered.
        """
        partial = self.partial
        if len(partial) == 1 and partial[0] == _CR:  # perhaps half of an empty line
            data = self._take_partial() + data
        if partial:
            searched = max(0, len(partial) - 3)
            partial += data
            end = partial.find(HEAD_END, searched)
            if end < 0:
                self._keep(data, begun=False)
                return None
            data = self._take_partial()
        else:
            if data.startswith(_EMPTY_LINE):
                data = data.lstrip(_EMPTY_LINE)  # RFC 9112 section 2.2
            end = data.find(HEAD_END)
            if end < 0:
                partial += data
                self._keep(data, begun=data != b"")
                return None
        if end > self._max_bytes:
            raise self._too_large()
        end += 4
        last = self._last_head
        if last:
            length = last[0].body_length(data, end)
            if length >= 0:
                return last[1], length, data, end
        head = self._read(data[:end])
        return head, head.length, data, end

    def drop(self) -> None:
        """Forgets what came of a head, and gives back its room."""
        self.partial.clear()
        room, self._room = self._room, 0
        if room:
            self._budget.release(room)

    def _read(self, raw: bytes) -> RequestHead:
        try:
            head = parse_request_head(raw)
        except HeadError as error:
            raise InvalidHttpError(str(error), error.status) from error
        self._last_head = KnownHead(raw), head
        return head

    def _keep(self, data: bytes, *, begun: bool) -> None:
        """Reserves room for `data`, which came last: the head is not whole."""
        self.begun = begun
        if len(self.partial) > self._max_bytes:
            raise self._too_large()
        if not self._budget.reserve(len(data)):
            raise no_room_error("heads")
        self._room += len(data)

    def _take_partial(self) -> bytes:
        """All that came since the head began; nothing of it is kept."""
        data = bytes(self.partial)
        self.drop()
        return data

    def _too_large(self) -> HeadTooLargeError:
        return HeadTooLargeError(
            f"The head of the request is longer than {self._max_bytes} bytes.", code="head_too_large"
        )


class Responder(Protocol):
    """Answers the requests of some paths."""

    @property
    def body_limit(self) -> int:
        """Bytes of the longest body that it takes."""
        ...

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request, now or later."""
        ...


class IncomingBody:
    """The body of one request that has not come whole."""

    __slots__ = (
        "_budget",
        "_decoder",
        "_parts",
        "_remaining",
        "_size",
        "_stop_waiting",
        "deadline",
        "exchange",
        "responder",
    )

    def __init__(
        self, exchange: Exchange, responder: Responder, length: int, budget: ByteBudget, deadline: float
    ) -> None:
        """`length` is in bytes, and counts for nothing where the body is chunked."""
        self.exchange = exchange
        self.responder = responder
        self.deadline = deadline
        """When the body must be whole, on the loop's clock."""
        self._stop_waiting: Callable[[], None] | None = None
        """Ends the wait for room, while there is one."""
        self._budget = budget
        self._decoder = ChunkedDecoder() if exchange.head.chunked else None
        self._remaining = length
        self._parts: list[bytes] = []
        self._size = 0

    def reserve_room(self, granted: Callable[[], None]) -> bool:
        """Whether there is room for the body now. If not, `granted` is called once there is.

        A chunked body reserves its room as it comes, since its length is not known.
        """
        length = self._remaining
        if self._decoder or self._budget.reserve(length):
            self.exchange.body_room = length
            return True

        def on_granted() -> None:
            self._stop_waiting = None
            self.exchange.body_room = length
            granted()

        self._stop_waiting = self._budget.wait(length, on_granted)
        return False

    def feed(self, data: bytes) -> bytes | None:
        """Takes the next bytes. Returns what came behind the body once it is whole, None before that.

        Raises APIError.
        """
        if self._decoder is None:
            part = data[: self._remaining]
            self._remaining -= len(part)
            self._keep(part)
            return None if self._remaining else data[len(part) :]
        try:
            part = self._decoder.feed(data)
        except ChunkError as error:
            raise InvalidHttpError(f"The body of the request is not in the chunked coding: {error}.") from error
        self._size += len(part)
        check_body_length(self._size, self.responder)
        if not self._budget.reserve(len(part)):
            raise no_room_error()
        self.exchange.body_room += len(part)
        self._keep(part)
        return self._decoder.rest if self._decoder.ended else None

    def _keep(self, part: bytes) -> None:
        if self._parts and len(self._parts[-1]) + len(part) <= _SMALL_PART:
            self._parts[-1] += part
        else:
            self._parts.append(part)

    def serve(self) -> None:
        """Has the responder answer the request, whose body is whole."""
        body = b"".join(self._parts)
        self._parts.clear()
        self.responder.serve(self.exchange, body)

    def drop(self) -> None:
        """Stops waiting for room: the body is not needed any more."""
        if self._stop_waiting:
            self._stop_waiting()


class Backlog:
    """The bytes of one connection that the router cannot use yet."""

    __slots__ = ("_budget", "_room", "data", "overflowed")

    def __init__(self, budget: ByteBudget) -> None:
        """`budget`: room for the further requests of all connections."""
        self._budget = budget
        self._room = 0
        """Bytes of the budget that are reserved."""
        self.data = b""
        self.overflowed = False
        """Whether the answer in hand is the last one: a further request was lost for want of room, or is not wanted."""

    @property
    def full(self) -> bool:
        """Whether the connection should not be read for now."""
        return self.overflowed or len(self.data) > PIPELINED_BYTES

    def add(self, data: bytes) -> None:
        """Keeps a part of the body that waits for room."""
        self.data += data

    def add_pipelined(self, data: bytes) -> None:
        """Keeps what came behind the request in hand. Without room for it, nothing of it is ever answered."""
        if self._budget.reserve(len(data)):
            self._room += len(data)
            self.data += data
        else:
            self.overflowed = True

    def drop_all(self) -> None:
        """Answers no further request."""
        self.take()
        self.overflowed = True

    def take(self) -> bytes:
        """What was kept, which is kept no more."""
        data, self.data = self.data, b""
        room, self._room = self._room, 0
        if room:
            self._budget.release(room)
        return data


def check_body_length(length: int, responder: Responder) -> None:
    """Raises RequestTooLargeError for a body of more bytes than its responder takes."""
    limit = responder.body_limit
    if length > limit:
        raise RequestTooLargeError(
            f"The body is larger than the {limit} bytes that this router takes.", code="request_too_large"
        )


def no_room_error(part: str = "bodies") -> ServiceUnavailableError:
    """The error of a request for whose body, or other part, the router has no room."""
    return ServiceUnavailableError(
        f"The {part} of requests in hand take all the room that this router has for them.",
        code=f"too_many_{part}",
        retry_after=5,
    )
