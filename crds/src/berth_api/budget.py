"""Whether there is room for a model, and which models to evict for it: pure, for main memory and GPU memory alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from berth_process.sizes import readable


class Occupancy(Enum):
    """Why a model keeps its memory."""

    IDLE = auto()
    """No reason: it may be evicted."""
    BUSY = auto()
    """It has requests in hand, which are never cut."""
    STARTING = auto()
    """Its engine starts, because somebody waits for it."""
    LEAVING = auto()
    """It ends, and its memory will soon be free."""


@dataclass(frozen=True, slots=True)
class Occupant:
    """A model that has memory."""

    name: str
    bytes: int
    """The model's estimate, whether its engine uses all of it or not."""
    occupancy: Occupancy
    last_used: datetime
    since: datetime
    """When its engine became ready."""
    pinned: bool = False
    """Its TTL is endless: it is evicted after all others."""


class Usage(NamedTuple):
    """How a model is used at this moment."""

    in_flight: int
    """Requests in hand."""
    last_used: datetime | None
    """None: no request lately."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that needs memory."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Start:
    """There is room for the model now."""


@dataclass(frozen=True, slots=True)
class Evict:
    """There is room once these idle models are evicted: the least recently used ones."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no room yet."""

    reason: str
    """What has the memory, with sizes, for people."""
    close: tuple[str, ...] = ()
    """Busy models that should get no new requests, so that they can be evicted after those in hand."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The model needs more than the whole budget."""

    reason: str


Verdict = Start | Evict | Wait | TooLarge


def decide(budget: int, occupants: Sequence[Occupant], demand: Demand, *, patient: bool = True) -> Verdict:
    """What has to happen before the model of `demand` gets its memory. `budget` and all sizes are in bytes.

    While `patient`, the answer is to wait until a busy model becomes idle. Otherwise busy models are closed, first
    those that have been ready longest.
    """
    if demand.bytes > budget:
        return TooLarge(
            f"it needs {readable(demand.bytes)} of memory, and all models together may use {readable(budget)}"
        )
    missing = demand.bytes - (budget - sum(occupant.bytes for occupant in occupants))
    if missing <= 0:
        return Start()
    missing -= sum(occupant.bytes for occupant in occupants if occupant.occupancy is Occupancy.LEAVING)
    if missing <= 0:
        return Wait(_reason(budget, occupants, demand))
    idle = sorted(
        (one for one in occupants if one.occupancy is Occupancy.IDLE),
        key=lambda one: (one.pinned, one.last_used, one.name),
    )
    if sum(occupant.bytes for occupant in idle) >= missing:
        return Evict(tuple(occupant.name for occupant in _enough(idle, missing)))
    busy = sorted((one for one in occupants if one.occupancy is Occupancy.BUSY), key=lambda one: (one.since, one.name))
    chosen = [] if patient else _enough([*idle, *busy], missing)
    return Wait(
        _reason(budget, occupants, demand), tuple(one.name for one in chosen if one.occupancy is Occupancy.BUSY)
    )


def first_that_fits(budget: int, occupants: Iterable[Occupant], sizes: Sequence[int]) -> int:
    """The index of the first of these sizes for which there is room as it is; the last one where there is for none.

    `sizes`: the bytes of one model with less and less context.
    """
    free = budget - sum(occupant.bytes for occupant in occupants)
    return next((at for at, size in enumerate(sizes) if size <= free), len(sizes) - 1)


def _enough(candidates: Sequence[Occupant], missing: int) -> list[Occupant]:
    """The first candidates that have so many bytes together, without those that are not needed for it."""
    chosen: list[Occupant] = []
    for candidate in candidates:
        if missing <= 0:
            break
        chosen.append(candidate)
        missing -= candidate.bytes
    spare = -missing
    for candidate in list(chosen):  # a large model that was added last may make earlier small ones unnecessary
        if candidate.bytes <= spare:
            chosen.remove(candidate)
            spare -= candidate.bytes
    return chosen


_WORDS = {
    Occupancy.IDLE: "idle",
    Occupancy.BUSY: "busy",
    Occupancy.STARTING: "starting",
    Occupancy.LEAVING: "ending",
}


def _reason(budget: int, occupants: Iterable[Occupant], demand: Demand) -> str:
    models = ", ".join(f"{one.name} ({readable(one.bytes)}, {_WORDS[one.occupancy]})" for one in occupants)
    of_all = f"the {readable(budget)} that all models together may use"
    return f"it needs {readable(demand.bytes)} of {of_all}; in memory: {models}"
