"""Which models of one node leave: the fewest that are enough, and of those sets the one that costs least."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import combinations
from math import comb
from typing import NamedTuple

from berth_api.room.snapshot import Amounts, Resident

_EXACT_SIZE = 3
"""Sets of up to so many are all tried."""

_MOST_SETS = 5000
"""Unless there are more sets of one size than this."""


class Candidate(NamedTuple):
    """A model that may leave."""

    reluctance: int
    """Counts before the number of models: what is more reluctant leaves only where nothing else helps."""
    cost: float
    """What its leaving costs, of sets that are equal until here."""
    last: datetime
    """The earlier, the sooner it leaves, of sets that are equal until here: when it was last used, or became ready."""
    name: str
    resident: Resident


SetRank = tuple[int, int, float, float, tuple[str, ...]]
"""Compares sets of candidates: the lowest one leaves."""


def rank(chosen: Sequence[Candidate]) -> SetRank:
    """The place of this set among all that are enough."""
    return (
        sum(each.reluctance for each in chosen),
        len(chosen),
        sum(each.cost for each in chosen),
        sum(each.last.timestamp() for each in chosen),
        tuple(sorted(each.name for each in chosen)),
    )


def enough(chosen: Iterable[Candidate], missing: Amounts) -> bool:
    """Whether these models hold what is missing together."""
    left = dict(missing)
    for each in chosen:
        holds = each.resident.holds
        for resource in left:
            left[resource] -= holds.get(resource, 0)
    return all(amount <= 0 for amount in left.values())


def fewest(candidates: Sequence[Candidate], missing: Amounts) -> tuple[Candidate, ...] | None:
    """The set of lowest rank that holds what is missing (each amount more than 0); None where all are not enough.

    It is exact for up to three models. Of more, those that hold most are taken, then exchanged for cheaper ones.
    """
    useful = [each for each in candidates if any(each.resident.holds.get(resource, 0) > 0 for resource in missing)]
    if not enough(useful, missing):
        return None
    for reluctance in sorted({each.reluctance for each in useful}):
        willing = [each for each in useful if each.reluctance <= reluctance]
        if enough(willing, missing):
            return _small_set(willing, missing) or _large_set(willing, missing)
    return None


def _small_set(candidates: Sequence[Candidate], missing: Amounts) -> tuple[Candidate, ...] | None:
    """The set of lowest rank among those of up to three; None where none of them is enough, or there are too many."""
    alike = len({each.reluctance for each in candidates}) == 1
    found: list[tuple[Candidate, ...]] = []
    for size in range(_fewest_possible(candidates, missing), min(_EXACT_SIZE, len(candidates)) + 1):
        if comb(len(candidates), size) > _MOST_SETS:
            return None
        found += [each for each in combinations(candidates, size) if enough(each, missing)]
        if found and alike:
            break
    return min(found, key=rank, default=None)


def _fewest_possible(candidates: Sequence[Candidate], missing: Amounts) -> int:
    """No set of fewer models is enough, since even those that hold most of one resource are not."""
    most = 1
    for resource, amount in missing.items():
        count, left = 0, amount
        for held in sorted((each.resident.holds.get(resource, 0) for each in candidates), reverse=True):
            if left <= 0:
                break
            left -= held
            count += 1
        most = max(most, count)
    return most


def _large_set(candidates: Sequence[Candidate], missing: Amounts) -> tuple[Candidate, ...]:
    """A set that is enough: those that hold most of what is missing, without any that is not needed."""
    by_share = sorted(candidates, key=lambda each: (each.reluctance, -_share(each, missing), each.cost, each.last))
    chosen: list[Candidate] = []
    for each in by_share:
        if enough(chosen, missing):
            break
        chosen.append(each)
    for each in sorted(chosen, key=_alone, reverse=True):
        fewer = [other for other in chosen if other is not each]
        if enough(fewer, missing):
            chosen = fewer
    return _exchanged(chosen, candidates, missing)


def _exchanged(chosen: list[Candidate], candidates: Sequence[Candidate], missing: Amounts) -> tuple[Candidate, ...]:
    """The set with each of its models exchanged for the cheapest that is enough in its place."""
    for place in range(len(chosen)):
        for cheaper in sorted(candidates, key=_alone):
            if _alone(cheaper) >= _alone(chosen[place]):
                break
            instead = [*chosen[:place], cheaper, *chosen[place + 1 :]]
            if cheaper not in chosen and enough(instead, missing):
                chosen = instead
                break
    return tuple(chosen)


def _alone(candidate: Candidate) -> tuple[int, float, datetime, str]:
    return candidate[:4]


def _share(candidate: Candidate, missing: Amounts) -> float:
    """How much of what is missing the model holds: 1 for all of a resource."""
    holds = candidate.resident.holds
    return sum(min(1.0, holds.get(resource, 0) / amount) for resource, amount in missing.items())
