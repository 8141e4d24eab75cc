"""How much a test tries of what it makes up, or of what would take long to try in full."""

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EVERYTHING = os.environ.get("CI") == "true"
"""Whether this run must try all that there is."""

_SHARE = 5


def examples(count: int) -> int:
    """So many where everything must run (CI=true), a fifth of them elsewhere: they are other ones each time."""
    return count if EVERYTHING else count // _SHARE


def sample(cases: Sequence[T]) -> list[T]:
    """All cases where everything must run (CI=true), a fifth of them elsewhere: they are other ones each time."""
    return list(cases) if EVERYTHING else random.sample(cases, -(-len(cases) // _SHARE))
