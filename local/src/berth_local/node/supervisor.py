"""Stands between Berth and one child process, so that nothing of the child outlives either. It is a program of its own.

    python -I -S supervisor.py LIFELINE PROGRAM [ARGUMENT...]

LIFELINE is the number of an inherited file descriptor: the reading end of a pipe whose only writing end Berth holds.
When Berth ends, however it ends, the kernel closes the writing end, and the supervisor kills everything below it. It
does the same when the child ends, because nobody owns what the child has started. It passes SIGTERM on to the child's
process group.

Exit code: the child's own; 128 + N where signal N ended it; 127 where the program could not be run.

It imports only the standard library, and little of it: Berth starts one for every engine, and a caller waits for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    # To import typing takes 10 ms, and nothing here needs it to run.
    from collections.abc import Callable
    from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

NOT_RUN = 127
"""The exit code with which a shell says that it could not run a command."""


def main() -> NoReturn:
    """Runs the child until it ends or Berth ends, then kills what is left of it."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(lifeline, False)
    wakeups, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for handled in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(handled, _wake_up)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    prctl = _prctl()
    if prctl:
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = _start(command, prctl)
    _close_standard_streams()
    code = _watch(child, lifeline, wakeups)
    _kill_all(child)
    os._exit(code)


def _wake_up(_number: int, _frame: object) -> None:
    """Does nothing. Python writes a signal's number into the wake-up pipe only if the signal has a handler."""


def _prctl() -> Callable[[int, int], object] | None:
    """prctl of the C library; None elsewhere than on Linux."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 (5 ms)

    return ctypes.CDLL(None).prctl


def _start(command: list[str], prctl: Callable[[int, int], object] | None) -> int:
    """Forks the child into a process group of its own. The child's pid."""
    supervisor = os.getpid()
    child = os.fork()
    if child:
        with contextlib.suppress(OSError):  # the child may have done it already, or have ended
            os.setpgid(child, child)
        return child
    try:
        os.setpgid(0, 0)
        if prctl:
            # If somebody kills this supervisor, the kernel kills its child. It may have been killed before this call.
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != supervisor:
                os._exit(NOT_RUN)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.execvp(command[0], command)  # noqa: S606 (Berth's own command, no shell)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_RUN)


def _close_standard_streams() -> None:
    """Closes this process's copies of the child's input and output, so that they end when the child ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _watch(child: int, lifeline: int, wakeups: int) -> int:
    """Waits until the child or Berth ends. The child's exit code; that of SIGKILL if Berth has ended."""
    while True:
        ready, _, _ = select.select([lifeline, wakeups], [], [])
        signals = os.read(wakeups, 4096) if wakeups in ready else b""
        if lifeline in ready or signal.SIGUSR1 in signals:
            return 128 + signal.SIGKILL
        if signal.SIGTERM in signals:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGTERM)
        code = _reap(child)
        if code is not None:
            return code


def _reap(child: int) -> int | None:
    """Reaps every process that has ended below this one. The child's exit code, if it is one of them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _kill_all(child: int) -> None:
    """Kills the child's process group and everything that descends from it, and waits until it is gone.

    This process is the subreaper: what loses its parent becomes its child. So it reaches all by killing its children
    until none is left.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """The processes whose parent this is, also those not reaped yet. Empty where the kernel has no such list."""
    try:
        # pathlib takes as long to load as all else here.
        with open(f"/proc/self/task/{os.getpid()}/children") as listing:  # noqa: PTH123
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    main()
