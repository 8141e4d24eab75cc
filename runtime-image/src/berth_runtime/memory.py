"""How much memory this container may use."""

import os
from pathlib import Path

from berth_runtime.processors import CGROUP_ROOT


def usable_memory(cgroup_root: Path = CGROUP_ROOT) -> int:
    """Bytes that the container's limit leaves it, or all of the machine's where it has none."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit(cgroup_root)
    return machine if limit is None else min(limit, machine)


def memory_limit(cgroup_root: Path) -> int | None:
    """The container's memory limit in bytes, from cgroup v2 or v1; None without one."""
    for file in (cgroup_root / "memory.max", cgroup_root / "memory" / "memory.limit_in_bytes"):
        try:
            return int(file.read_text())
        except (
            OSError,
            ValueError,
        ):  # version 2 writes "max" for "no limit"; version 1 a number above any machine's memory
            continue
    return None
