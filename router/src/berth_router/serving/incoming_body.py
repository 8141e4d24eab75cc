"""The body of a request on its way in, and the interface of whoever answers the request then."""

from collections.abc import Callable
from typing import Protocol

from berth_router.errors import InvalidHttpError, RequestTooLargeError, ServiceUnavailableError
from berth_router.serving.chunked import ChunkedDecoder, ChunkError
from berth_router.serving.exchange import Exchange
from berth_router.serving.limits import ByteBudget

_SMALL_PART = 4096
"""Bytes up to which parts of a body are joined as they come: each part costs some fifty bytes more."""


class Destination(Protocol):
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
        "destination",
        "exchange",
    )

    def __init__(
        self, exchange: Exchange, destination: Destination, length: int, budget: ByteBudget, deadline: float
    ) -> None:
        """`length` is in bytes, and counts for nothing where the body is chunked."""
        self.exchange = exchange
        self.destination = destination
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

        A chunked body reserves its room as it comes, since nobody knows its length.
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
        check_length(self._size, self.destination)
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
        """Has the destination answer the request, whose body is whole."""
        body = b"".join(self._parts)
        self._parts.clear()
        self.destination.serve(self.exchange, body)

    def drop(self) -> None:
        """Stops waiting for room: nobody needs the body any more."""
        if self._stop_waiting:
            self._stop_waiting()


def check_length(length: int, destination: Destination) -> None:
    """Raises RequestTooLargeError for a body of more bytes than its destination takes."""
    limit = destination.body_limit
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
