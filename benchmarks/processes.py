"""What the processes of a measurement use of the machine, by the kernel's counts."""

import os
from pathlib import Path

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
"""Ticks in a second, in which /proc/stat counts."""


def below(pid: int) -> list[int]:
    """All processes below this one, without itself."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *below(int(child))]
    except OSError:
        pass  # it has ended
    return found


def resident_bytes(pid: int) -> int:
    """The process's resident memory in bytes; 0 if it has ended."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def cpu_ns(pid: int) -> int:
    """Processor time in nanoseconds of the live threads of the process and of all processes below it."""
    return sum(_own_cpu_ns(each) for each in (pid, *below(pid)))


def schedstat_ns(text: str) -> int:
    """Nanoseconds on a processor, of a thread's `schedstat`. Raises ValueError if it is none."""
    match text.split():
        case [on_processor, _waiting, _slices]:
            return int(on_processor)
        case _:
            raise ValueError(f"not a schedstat of three numbers: {text!r}")


def processor_seconds(stat: str, processor: int) -> float:
    """Seconds that processes have had of a processor, and a hypervisor has taken of it. `stat`: the text of /proc/stat.

    Raises ValueError if there is no such processor.
    """
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{processor}":
            user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, ticks[:8])
            return (user + nice + system + steal) / _TICKS
    raise ValueError(f"/proc/stat has no processor {processor}")


def processor_seconds_now(processor: int) -> float:
    """The same for this moment."""
    return processor_seconds((_PROC / "stat").read_text(), processor)


def _own_cpu_ns(pid: int) -> int:
    """Adds up all threads: a process's own schedstat counts its first thread alone."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return 0  # it has ended
    return sum(map(_thread_cpu_ns, threads))


def _thread_cpu_ns(thread: Path) -> int:
    try:
        return schedstat_ns((thread / "schedstat").read_text())
    except OSError:
        return 0  # it has ended
