"""What a peer may cost: bytes, seconds and numbers of things, on both sides of the router."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the byte path. An administrator sets some of them with the settings: see `LimitSettings.limits`."""

    head_bytes: int = 64 * 1024
    """Longest head of a request or of an engine's answer."""
    head_seconds: float = 10
    """From a head's first byte to its last; also from a new connection to its first byte."""
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

    A body for which there is no room waits, unread. A body that came whole with its head does not wait.
    """
    heads_bytes: int = 16 * 1024 * 1024
    """Heads of all requests together that have not come whole."""
    pipelined_bytes: int = 16 * 1024 * 1024
    """Bytes that all clients together have sent behind requests that are being answered.

    Where there is no room for more, the answer in hand is the connection's last.
    """
    stalled_client_seconds: float = 60
    """How long a client that takes nothing of its answer keeps its connection."""
    connections: int = 16_384
    """Clients' connections at once."""
    requests_per_model: int = 512
    """Requests in hand for one model, queued and forwarded together."""
    requests_per_key: int = 512
    """Requests in hand for one API key."""
    connect_seconds: float = 5
    """To connect to an engine."""
    first_byte_seconds: float = 600
    """From a request to the first byte of an engine's answer. An answer that is no stream is computed in this time."""
    silence_seconds: float = 300
    """Longest silence within an engine's answer."""
    peer_seconds: float = 60
    """How long a connection lasts whose peer acknowledges nothing, such as a dead node's."""


LINGER_SECONDS = 2.0
"""How long a client that was refused in the middle of its request has to read the refusal. If the router closed the
socket at once, while the client still sends, the kernel would reset the connection, and the refusal would be lost."""

PIPELINED_BYTES = 64 * 1024
"""Bytes of further requests on a connection that are read while one is answered.

The router goes on reading because that is how it notices that a client left.
"""


class ByteBudget:
    """Room in memory, in bytes, that requests share. A request that finds none may wait; waiters get room in turn."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._total = total
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def reserved(self) -> int:
        """Bytes that are reserved now."""
        return self._total - self._free

    def reserve(self, size: int) -> bool:
        """Reserves room if there is enough now and no request waits; whether it did.

        Whatever is larger than the whole budget gets all of it. Zero bytes need no room, and never wait.
        """
        size = min(size, self._total)
        if size and (self._waiting or size > self._free):
            return False
        self._free -= size
        return True

    def reserve_beyond(self, size: int) -> None:
        """Reserves room even where there is none. Those who wait then wait longer."""
        self._free -= min(size, self._total)

    def wait(self, size: int, granted: Callable[[], None]) -> Callable[[], None]:
        """Reserves room once there is some, then calls `granted`. Returns a function that ends the wait."""
        entry = (min(size, self._total), granted)
        self._waiting.append(entry)

        def give_up() -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()

        return give_up

    def release(self, size: int) -> None:
        """Gives back room that was reserved for `size` bytes."""
        self._free += min(size, self._total)
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, granted = self._waiting.popleft()
            self._free -= size
            granted()


class ConcurrencyLimit:
    """Counts the requests in hand by a name, such as a model's or a key's, up to a limit for each name."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[str, int] = {}

    def try_acquire(self, name: str) -> bool:
        """Counts one more if the limit allows it; whether it did."""
        count = self._counts.get(name, 0)
        if count >= self.limit:
            return False
        self._counts[name] = count + 1
        return True

    def count(self, name: str) -> int:
        """How many are in hand."""
        return self._counts.get(name, 0)

    def release(self, name: str) -> None:
        """Counts one less, which `try_acquire` had counted."""
        count = self._counts[name]
        if count > 1:
            self._counts[name] = count - 1
        else:
            del self._counts[name]
