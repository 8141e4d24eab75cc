"""The heads of a connection's requests on their way in, one after the other."""

from berth_router.errors import HeadTooLargeError, InvalidHttpError
from berth_router.serving.heads import HEAD_END, HeadError, RequestHead, parse_request_head
from berth_router.serving.incoming import no_room
from berth_router.serving.limits import Budget
from berth_router.serving.repeats import Repeat

_EMPTY_LINE = b"\r\n"
_CR = 0x0D


class IncomingHeads:
    """Finds each head in bytes that come in pieces cut anywhere. What has come of one takes room until it is whole."""

    __slots__ = ("_budget", "_known", "_longest", "_room", "begun", "partial")

    def __init__(self, longest: int, budget: Budget) -> None:
        """`longest`: bytes that a head may have. `budget`: room for the heads of all connections."""
        self._longest = longest
        self._budget = budget
        self._room = 0
        """Bytes of the budget that are taken."""
        self._known: tuple[Repeat, RequestHead] | None = None
        """The last head, which mostly comes again."""
        self.partial = bytearray()
        """What came of a head that is not whole."""
        self.begun = False
        """Whether a head began with the bytes that came last, and is not whole."""

    def feed(self, data: bytes) -> tuple[RequestHead, int, bytes, int] | None:
        """Takes the next bytes. None where no head is whole yet.

        Else a head, the length of the body that it tells, the bytes that it begins, and where in these it ends. Raises
        APIError where what came is no request that could be answered.
        """
        partial = self.partial
        if len(partial) == 1 and partial[0] == _CR:  # half of an empty line, maybe
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
        if end > self._longest:
            raise self._too_large()
        end += 4
        known = self._known
        if known:
            length = known[0].length(data, end)
            if length >= 0:
                return known[1], length, data, end
        head = self._read(data[:end])
        return head, head.length, data, end

    def drop(self) -> None:
        """Forgets what came of a head."""
        self.partial.clear()
        room, self._room = self._room, 0
        if room:
            self._budget.release(room)

    def _read(self, raw: bytes) -> RequestHead:
        try:
            head = parse_request_head(raw)
        except HeadError as error:
            raise InvalidHttpError(str(error), error.status) from error
        self._known = Repeat(raw), head
        return head

    def _keep(self, data: bytes, *, begun: bool) -> None:
        """The head is not whole. `data` is what has come last."""
        self.begun = begun
        if len(self.partial) > self._longest:
            raise self._too_large()
        if not self._budget.reserve(len(data)):
            raise no_room("heads")
        self._room += len(data)

    def _take_partial(self) -> bytes:
        """The head that has become whole, and what came behind it."""
        data = bytes(self.partial)
        self.drop()
        return data

    def _too_large(self) -> HeadTooLargeError:
        return HeadTooLargeError(
            f"The head of the request is longer than {self._longest} bytes.", code="head_too_large"
        )
