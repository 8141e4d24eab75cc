"""What a client sent too early: further requests, or the start of a body for which there is no room yet."""

from berth_router.serving.limits import PIPELINED_BYTES, ByteBudget


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
        """Whether a further request was lost for want of room, so that the answer in hand is the last one."""

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

    def take(self) -> bytes:
        """What was kept, which is kept no more."""
        data, self.data = self.data, b""
        room, self._room = self._room, 0
        if room:
            self._budget.release(room)
        return data
