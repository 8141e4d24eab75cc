"""How often a model is asked, from its own history: what its eviction is likely to cost.

The history is a sum for each of a few memories, in which every request counts for less the longer ago it was. These
are a few numbers for each model, however many requests it had. One memory alone would be wrong for somebody: a short
one forgets who comes every hour, and a long one takes an hour to learn that a model is not wanted any more.
"""

from dataclasses import dataclass
from datetime import datetime
from math import exp

MEMORIES = _SHORT, _MIDDLE, _LONG = (60.0, 600.0, 6000.0)
"""Seconds after which a request counts for 1/e, by memory."""

_SHORT_SHARE, _MIDDLE_SHARE, _LONG_SHARE = 0.02 / _SHORT, 0.1 / _MIDDLE, 0.88 / _LONG
"""How much each memory's sum counts. Traces with long memories in command waited least (`benchmarks.room`)."""

_UNSEEN = 4.0
"""Requests that the longest memory takes each model to have had besides those that came.

A few requests say little: of two models, the one that was asked three times and not once may well be the one that is
asked next. So while little is known, how long a model takes to start decides. With 4, traces waited least.
"""


@dataclass(frozen=True, slots=True)
class Asks:
    """The requests that a model has had."""

    at: datetime
    """The moment for which the sums are stated."""
    sums: tuple[float, ...]
    """By memory: every request until then, each as 1 when it came and as less and less since."""


def asked(history: Asks | None, now: datetime) -> Asks:
    """The history with one more request, now. `history` is None before the first one."""
    if history is None:
        return Asks(now, (1.0,) * len(MEMORIES))
    return Asks(now, tuple(1.0 + each for each in _decayed(history, now)))


def asks_per_second(history: Asks | None, last_used: datetime, now: datetime) -> float:
    """How often the model is likely to be asked from now on.

    Without a history it is taken to be asked again after as long as it has not been used.
    """
    if history is None:
        return 1 / max(1.0, (now - last_used).total_seconds())
    passed = max(0.0, (now - history.at).total_seconds())
    short, middle, long = history.sums  # no loop: a decision asks this of thousands
    return (
        _SHORT_SHARE * short * exp(-passed / _SHORT)
        + _MIDDLE_SHARE * middle * exp(-passed / _MIDDLE)
        + _LONG_SHARE * (long + _UNSEEN) * exp(-passed / _LONG)
    )


def _decayed(history: Asks, now: datetime) -> tuple[float, ...]:
    """The sums as they are now. A clock that went back decays nothing."""
    passed = max(0.0, (now - history.at).total_seconds())
    return tuple(each * exp(-passed / memory) for each, memory in zip(history.sums, MEMORIES, strict=True))
