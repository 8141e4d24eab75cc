"""What a peer may cost: bytes, seconds and numbers of things, on both sides of the router."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the byte path. Settings of the same names, with BERTH_ before them, set what an administrator may
    choose."""

    head_bytes: int = 64 * 1024
    """Longest head of a request or of an engine's answer."""
    head_seconds: float = 10
    """From a head's first byte to its last; also what a new connection has to send a first byte."""
    keep_alive_seconds: float = 120
    """How long a client's connection may be idle between two requests."""
    body_silence_seconds: float = 60
    """Longest silence within a request's body, and longest wait for room for it."""
    body_seconds: float = 600
    """From a body's first byte to its last."""
    body_bytes: int = 64 * 1024 * 1024
    """Longest body of a request to a model."""
    management_body_bytes: int = 1024 * 1024
    """Longest body of any other request."""
    bodies_bytes: int = 256 * 1024 * 1024
    """Bodies in hand of all requests together.

    What has no room waits, unread; what came whole with its head does not.
    """
    heads_bytes: int = 16 * 1024 * 1024
    """Heads of all requests together that have not come whole."""
    early_bytes: int = 16 * 1024 * 1024
    """What all clients together have sent behind requests that are being answered. Whoever sends more than there is
    room for gets the answer in hand, and is closed."""
    stalled_client_seconds: float = 60
    """How long a client that takes nothing of its answer keeps its connection."""
    connections: int = 16_384
    """Clients' connections at once."""
    requests_per_model: int = 512
    """Requests in hand for one model, held and forwarded together."""
    requests_per_key: int = 512
    """Requests in hand for one API key."""
    connect_seconds: float = 5
    """To connect to an engine."""
    first_byte_seconds: float = 600
    """From a request to the first byte of an engine's answer. An answer that is not streamed is computed whole in this
    time."""
    silence_seconds: float = 300
    """Longest silence within an engine's answer."""
    peer_seconds: float = 60
    """How long a peer that acknowledges nothing, as that of a dead node, keeps its connection."""


LINGER_SECONDS = 2.0
"""How long a client that was refused in the middle of its request has to take the refusal: a socket that is closed
while its client still
sends is reset, and the refusal with it."""

EARLY_BYTES = 64 * 1024
"""Bytes of further requests on a connection that are read while one is answered. Reading on is how the router notices
that a client left."""


class Budget:
    """Room in memory. Whoever has none may wait in turn; what has begun has room for all of it."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._total = total
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that are promised to bodies now."""
        return self._total - self._free

    def reserve(self, size: int) -> bool:
        """Whether there is room at once; it is taken then. A body longer than the whole budget gets all of it; what has
        no body needs no room, and waits for nobody."""
        size = min(size, self._total)
        if size and (self._waiting or size > self._free):
            return False
        self._free -= size
        return True

    def take(self, size: int) -> None:
        """Takes room that is needed in any case, also where there is none: whoever waits then waits for longer."""
        self._free -= min(size, self._total)

    def wait(self, size: int, granted: Callable[[], None]) -> Callable[[], None]:
        """Has `granted` called once the room is taken. Returns what gives the wait up."""
        entry = (min(size, self._total), granted)
        self._waiting.append(entry)

        def give_up() -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()

        return give_up

    def release(self, size: int) -> None:
        """Gives room back."""
        self._free += min(size, self._total)
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, granted = self._waiting.popleft()
            self._free -= size
            granted()


class Share:
    """Counts what is in hand by name, up to a bound for each."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """Whether another one is within the bound; it is counted then."""
        count = self._counts.get(name, 0)
        if count >= self.most:
            return False
        self._counts[name] = count + 1
        return True

    def count(self, name: str) -> int:
        """How many are in hand."""
        return self._counts.get(name, 0)

    def give_back(self, name: str) -> None:
        """Ends what `take` began."""
        count = self._counts[name]
        if count > 1:
            self._counts[name] = count - 1
        else:
            del self._counts[name]
