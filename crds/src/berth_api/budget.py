"""Whether there is room for a model, and who has to go: pure, for the memory of one machine or of its GPUs alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from berth_process.sizes import readable


class Hold(Enum):
    """What ties a model to its memory."""

    IDLE = auto()
    """Nothing: it may be put out."""
    BUSY = auto()
    """Requests: they are never cut."""
    STARTING = auto()
    """It is being made ready for somebody."""
    LEAVING = auto()
    """It is ending; its memory will be free in a moment."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that has memory."""

    name: str
    bytes: int
    """What it takes by its estimate, used or not."""
    hold: Hold
    last_used: datetime
    since: datetime
    """When it became ready."""
    kept: bool = False
    """Somebody asked for it to stay: it goes after all others."""


class Use(NamedTuple):
    """What is known of the use of a model, now."""

    in_flight: int
    """Requests in hand."""
    last_used: datetime | None
    """None: not lately."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that is to get memory."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Start:
    """There is room."""


@dataclass(frozen=True, slots=True)
class Evict:
    """There is room once these idle models are out: the least recently used."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """There will be room later."""

    reason: str
    """What has the memory, with figures, for people."""
    close: tuple[str, ...] = ()
    """Busy models that should get no new requests, so that they can be put out once those in hand are answered."""


@dataclass(frozen=True, slots=True)
class NeverFits:
    """There is not enough memory for it at all."""

    reason: str


Verdict = Start | Evict | Wait | NeverFits


def decide(budget: int, residents: Sequence[Resident], wanted: Wanted, *, patient: bool = True) -> Verdict:
    """What has to happen so that `wanted` gets its memory; `budget` and all sizes in bytes.

    While `patient`, it waits for a busy model to become idle by itself; otherwise models are closed, those first that
    were ready longest.
    """
    if wanted.bytes > budget:
        return NeverFits(
            f"it needs {readable(wanted.bytes)} of memory, and all models together may use {readable(budget)}"
        )
    missing = wanted.bytes - (budget - sum(resident.bytes for resident in residents))
    if missing <= 0:
        return Start()
    missing -= sum(resident.bytes for resident in residents if resident.hold is Hold.LEAVING)
    if missing <= 0:
        return Wait(_reason(budget, residents, wanted))
    idle = sorted(
        (one for one in residents if one.hold is Hold.IDLE), key=lambda one: (one.kept, one.last_used, one.name)
    )
    if sum(resident.bytes for resident in idle) >= missing:
        return Evict(tuple(resident.name for resident in _enough(idle, missing)))
    busy = sorted((one for one in residents if one.hold is Hold.BUSY), key=lambda one: (one.since, one.name))
    close = () if patient else tuple(one.name for one in _enough([*idle, *busy], missing) if one.hold is Hold.BUSY)
    return Wait(_reason(budget, residents, wanted), close)


def _enough(candidates: Sequence[Resident], missing: int) -> list[Resident]:
    """The first candidates that have so many bytes together, without those that are not needed for it."""
    chosen: list[Resident] = []
    for candidate in candidates:
        if missing <= 0:
            break
        chosen.append(candidate)
        missing -= candidate.bytes
    spared = -missing
    for candidate in list(chosen):  # a large one that came last may have made small ones needless
        if candidate.bytes <= spared:
            chosen.remove(candidate)
            spared -= candidate.bytes
    return chosen


def _reason(budget: int, residents: Iterable[Resident], wanted: Wanted) -> str:
    words = {Hold.IDLE: "idle", Hold.BUSY: "busy", Hold.STARTING: "starting", Hold.LEAVING: "ending"}
    holders = ", ".join(f"{one.name} ({readable(one.bytes)}, {words[one.hold]})" for one in residents)
    return f"it needs {readable(wanted.bytes)} of the {readable(budget)} that all models together may use; in memory: {holders}"
