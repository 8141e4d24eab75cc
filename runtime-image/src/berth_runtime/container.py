"""What this container may use of the machine: its processors, its memory, its network."""

import math
import os
from collections import Counter
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROCESSORS = Path("/sys/devices/system/cpu")
IPV6_ADDRESSES = Path("/proc/net/if_inet6")
"""There only where the kernel has IPv6."""


def usable_processors(cgroup_root: Path = CGROUP_ROOT) -> int | None:
    """The processors that a limit or a CPU set leaves to this container. None: nothing limits it.

    Without a limit the engine chooses better: it counts cores, not hardware threads.
    """
    allowed = len(os.sched_getaffinity(0))
    limit = quota_processors(cgroup_root)
    if limit is None:
        return allowed if allowed < (os.cpu_count() or allowed) else None
    return max(1, min(allowed, math.ceil(limit)))


def usable_cores(cgroup_root: Path = CGROUP_ROOT, processors: Path = PROCESSORS) -> int:
    """The cores of one socket that this container may use, no more than a limit leaves it; at least 1.

    A second thread of a core computes little more, and the memory of another socket is far: vLLM's own choice leaves
    both out too.
    """
    cores = {
        (_topology(processors, each, "physical_package_id"), _topology(processors, each, "core_id", each))
        for each in os.sched_getaffinity(0)
    }
    of_one_socket = max(Counter(socket for socket, _ in cores).values())
    return max(1, min(of_one_socket, math.ceil(quota_processors(cgroup_root) or of_one_socket)))


def _topology(processors: Path, number: int, name: str, unknown: int = 0) -> int:
    words = _read_words(processors / f"cpu{number}" / "topology" / name)
    return int(words[0]) if words else unknown


def quota_processors(cgroup_root: Path) -> float | None:
    """The container's CPU limit in processors (0.5, 2.0, ...), from cgroup v2 or v1. None: it has none."""
    unified = _read_words(cgroup_root / "cpu.max")  # "200000 100000"
    if unified:
        return _ratio(unified[0], unified[-1])
    quota = _read_words(cgroup_root / "cpu" / "cpu.cfs_quota_us")
    period = _read_words(cgroup_root / "cpu" / "cpu.cfs_period_us")
    return _ratio(quota[0], period[0]) if quota and period else None


def usable_memory(cgroup_root: Path = CGROUP_ROOT) -> int:
    """The bytes of memory that the container's limit leaves it; without a limit, all of the machine's."""
    machine = machine_memory()
    limit = memory_limit(cgroup_root)
    return machine if limit is None else min(limit, machine)


def machine_memory() -> int:
    """The bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit(cgroup_root: Path) -> int | None:
    """The container's memory limit in bytes, from cgroup v2 or v1. None: it has none."""
    for file in (cgroup_root / "memory.max", cgroup_root / "memory" / "memory.limit_in_bytes"):
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            continue  # version 2 writes "max" for "no limit"; version 1 a number above any machine's memory
    return None


def has_ipv6() -> bool:
    """Whether sockets for IPv6 can be made. One that listens on :: takes IPv4 too."""
    try:
        return bool(IPV6_ADDRESSES.read_text())
    except OSError:
        return False


def every_address(*, ipv6: bool) -> str:
    """The host to listen on, so that the same call works with IPv4, with IPv6 and with both."""
    return "::" if ipv6 else "0.0.0.0"


def _ratio(quota: str, period: str) -> float | None:
    """Both in microseconds; version 2 writes "max" and version 1 writes -1 for "no limit"."""
    try:
        quota_us, period_us = int(quota), int(period)
    except ValueError:
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _read_words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
