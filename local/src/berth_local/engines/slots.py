"""The slots of llama.cpp: how many requests it answers at once on this machine's processors.

Each slot has a context of its own, and the engine clears its memory three times as it starts. With eight slots that is
half of the time in which a model of 135 million parameters starts on two processors. And few processors gain little
from many slots: on two, eight clients got 95 tokens a second from two slots, 113 from four, and 116 from eight. Further
requests wait in the engine.
"""

import os
from collections.abc import Sequence
from itertools import pairwise

from berth_operator.engines.llamacpp import PARALLEL_SLOTS
from berth_runtime.container import usable_processors

FEWEST = 2
"""A long answer must not hold up a short one."""

_PROCESSORS_PER_SLOT = 2


def slots(processors: int | None = None) -> int:
    """The number of slots on the CPU, for so many processors. None: the processors of this machine."""
    processors = processors or usable_processors() or os.cpu_count() or 1
    return min(PARALLEL_SLOTS, max(FEWEST, processors // _PROCESSORS_PER_SLOT))


def with_slots(arguments: Sequence[str], count: int) -> list[str]:
    """The arguments of `berth-launch` for llama.cpp, with this number of slots if it computes on the CPU."""
    changed = list(arguments)
    on_cpu = ("--gpu-layers", "0") in pairwise(changed)
    if on_cpu and "--parallel" in changed:
        changed[changed.index("--parallel") + 1] = str(count)
    return changed
