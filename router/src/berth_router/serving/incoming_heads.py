"""The heads of a connection's requests on their way in, one after the other."""

from berth_router.errors import HeadTooLargeError, InvalidHttpError
from berth_router.serving.heads import HEAD_END, HeadError, KnownHead, RequestHead, parse_request_head
from berth_router.serving.incoming_body import no_room_error
from berth_router.serving.limits import ByteBudget

_EMPTY_LINE = b"\r\n"
_CR = 0x0D


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
