"""A download that is told to end just when its main thread holds a lock that its last words need."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from berth_hub import main, termination
from berth_hub.progress import ProgressTracker
from berth_hub.termination import EXIT_TERMINATED
from tests.hub.server import HubServer
from tests.unit.hub.running import Running

ARGUMENTS = ("--repository", "acme/tiny", "--destination", "tiny")


def told_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class ToldWhileItCounts(ProgressTracker):
    """SIGTERM comes while the main thread holds the lock of the counts."""

    def plan(self, commit: str, size: int, files: int, fetched: int) -> None:
        with self._lock:
            told_to_end()
        super().plan(commit, size, files, fetched)
        threading.Event().wait()  # a download that takes for ever


class ToldWhileItIsStuck(ProgressTracker):
    """The main thread does not let go of the lock at all."""

    def plan(self, commit: str, size: int, files: int, fetched: int) -> None:
        with self._lock:
            told_to_end()
            threading.Event().wait()


class ToldWhileItLogs:
    """SIGTERM comes while the main thread holds the lock of the log."""

    def __init__(self) -> None:
        self._out = sys.stdout

    def write(self, text: str) -> int:
        if "downloading" in text and threading.current_thread() is threading.main_thread():
            told_to_end()
        return self._out.write(text)

    def flush(self) -> None:
        self._out.flush()


def counting() -> None:
    setattr(main, "ProgressTracker", ToldWhileItCounts)  # noqa: B010 (nobody exports it)


def stuck() -> None:
    setattr(main, "ProgressTracker", ToldWhileItIsStuck)  # noqa: B010 (nobody exports it)
    setattr(termination, "_MESSAGE_SECONDS", 0.2)  # noqa: B010 (nobody exports it)


def logging() -> None:
    sys.stdout = ToldWhileItLogs()


@pytest.mark.parametrize("prepare", [counting, stuck, logging])
def test_it_ends_whatever_its_main_thread_holds(hub: HubServer, store: Path, prepare: Callable[[], None]) -> None:
    # The message cannot be written, so that there is something to log.
    environment = {"BERTH_TERMINATION_LOG": str(store)} if prepare is logging else {}
    if prepare is logging:
        hub.bytes_per_second = 1000
    running = Running(store, hub.url, ARGUMENTS, environment, prepare)
    try:
        assert running.ended() == EXIT_TERMINATED
    finally:
        running.kill()
    if prepare is counting:
        assert running.message()["reason"] == "Interrupted"
    if prepare is logging:
        assert "the termination message cannot be written" in running.output.read_text()


def test_a_signal_that_comes_first_of_all_ends_it_too(store: Path, hub: HubServer) -> None:
    running = Running(store, hub.url, ["--remove-staging", "x"], prepare=told_at_the_first_step)
    assert running.ended() == EXIT_TERMINATED
    assert running.message()["reason"] == "Interrupted"


def told_at_the_first_step() -> None:
    def parse(arguments: list[str]) -> None:
        told_to_end()
        threading.Event().wait()

    setattr(main, "_parse", parse)  # noqa: B010 (nobody exports it)
