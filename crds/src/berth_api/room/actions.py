"""What the decision about room says: what to do, each with a reason for programs and a message for people."""

from dataclasses import dataclass, field
from functools import partial

from berth_api.room.snapshot import Amounts


@dataclass(frozen=True, slots=True)
class StartModel:
    """The demand's pod is to be made now."""

    name: str
    shape: int
    """Which of its shapes, as an index."""
    node: str | None
    """Where it has room. None: the scheduler finds out."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class EvictModels:
    """These idle models are to be evicted: what they hold, together with what is free on their node, is enough.

    New requests for them wait from now on, as for those that are closed.
    """

    victims: tuple[str, ...]
    demand: str
    """For whom."""
    node: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CloseModels:
    """New requests for these busy models are to wait, so that they become idle and can be evicted.

    What is closed and neither here nor to be evicted any more is to be opened again.
    """

    names: tuple[str, ...]
    demand: str
    """For whom."""
    node: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """The demand has no room yet."""

    name: str
    place: int
    """Among those that wait for the same kind of room, from 1."""
    estimate_seconds: float | None
    """When it has room at the latest, as far as that is known: without its own start, and with no request in hand
    longer than expected. None: not known."""
    reason: str
    _words: partial[str] = field(repr=False, compare=False)

    @property
    def message(self) -> str:
        """Who has what it waits for. It is put into words when it is read: most of the time nobody does."""
        return self._words()


@dataclass(frozen=True, slots=True)
class RefuseModel:
    """The demand can never have room."""

    name: str
    reason: str
    message: str
    nearest_node: str | None
    """The node that comes nearest. None: none is one for it."""
    missing: Amounts
    """By how much its smallest shape is too large for that node."""


@dataclass(frozen=True, slots=True)
class WithdrawPod:
    """The pod of the demand is to be deleted: it has no node, and nobody waits for it any more."""

    name: str
    reason: str
    message: str


RoomAction = StartModel | EvictModels | CloseModels | KeepWaiting | RefuseModel | WithdrawPod
