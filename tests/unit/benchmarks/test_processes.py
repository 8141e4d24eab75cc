"""What the kernel counts of processes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from benchmarks.processes import below, cpu_ns, processor_seconds, processor_seconds_now, resident_bytes, schedstat_ns

WORK_NS = 20_000_000


def work() -> None:
    ends = time.thread_time_ns() + WORK_NS
    while time.thread_time_ns() < ends:
        pass


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("343889 1285898 4\n", 343889), ("0 0 0\n", 0), ("17163092347 0 91", 17163092347)],
)
def test_a_schedstat_begins_with_the_time_on_a_processor(text: str, nanoseconds: int) -> None:
    assert schedstat_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "343889\n", "343889 1285898\n", "343889 1285898 4 0\n"])
def test_what_is_no_schedstat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="three numbers"):
        schedstat_ns(text)


STAT = """cpu  395285 12010 95115 115532 3192 0 7310 1813 0 0
cpu0 193319 5522 45211 66144 783 0 3216 935 0 0
cpu1 201965 6487 49904 49387 2409 0 4093 877 0 0
intr 12345
"""


def test_a_processor_was_had_by_processes_and_the_hypervisor() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    assert processor_seconds(STAT, 1) == pytest.approx((201965 + 6487 + 49904 + 877) / ticks)
    assert processor_seconds_now(min(os.sched_getaffinity(0))) > 0
    with pytest.raises(ValueError, match="no processor 2"):
        processor_seconds(STAT, 2)


def test_the_time_of_every_thread_counts() -> None:
    worked, may_end = threading.Event(), threading.Event()

    def thread() -> None:
        work()
        worked.set()
        may_end.wait()

    before = cpu_ns(os.getpid())
    other = threading.Thread(target=thread)
    other.start()
    worked.wait()
    after = cpu_ns(os.getpid())
    may_end.set()
    other.join()
    assert after - before >= WORK_NS


def test_the_time_of_what_a_process_has_started_counts() -> None:
    program = f"import time\nwhile time.process_time_ns() < {WORK_NS}: pass\nprint('worked', flush=True)\ninput()"
    # The shell itself does next to nothing, and has no last command that it could become.
    shell = ["sh", "-c", f'{sys.executable} -c "{program}"; true']
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout
        assert started.stdout.readline() == b"worked\n"
        [worker] = below(started.pid)
        assert cpu_ns(started.pid) >= WORK_NS
        assert resident_bytes(worker) > resident_bytes(started.pid) > 0
        started.communicate(b"\n")
    assert (cpu_ns(started.pid), resident_bytes(started.pid), below(started.pid)) == (0, 0, [])
