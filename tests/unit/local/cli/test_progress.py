"""How far a download is, in words."""

import io
import re
from typing import Any

import pytest

from berth_local.cli.progress import DownloadProgress, described

GB = 10**9
FETCHING: dict[str, Any] = {
    "phase": "Running",
    "reason": "Downloading",
    "message": "files are fetched",
    "bytes_done": GB,
    "bytes_total": 4 * GB,
    "files_done": 2,
    "files_total": 5,
    "bytes_per_second": 10**8,
    "eta_seconds": 30,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "1.0 GB of 4.0 GB, 2 of 5 files, 100 MB/s, 30 s left"),
        ({"files_total": 1, "files_done": 0}, "1.0 GB of 4.0 GB, 100 MB/s, 30 s left"),
        ({"bytes_total": None, "reason": "Listing", "message": "the hub is asked"}, "the hub is asked"),
        (
            {"bytes_total": None, "phase": "Pending", "reason": "WaitingForPod", "message": "a Job"},
            "the download begins",
        ),
        (
            {"bytes_total": None, "phase": "Pending", "reason": "WaitingForContainer", "message": "the node pulls"},
            "the download begins",
        ),
        (
            {"reason": "HubUnavailable", "message": "the hub failed; tried again in 4 s"},
            "the hub failed; tried again in 4 s",
        ),
        ({"phase": "Succeeded", "reason": "Succeeded", "bytes_done": 4 * GB, "files_total": 1}, "4.0 GB of 4.0 GB"),
    ],
)
def test_how_far_it_is_or_what_stands_in_the_way(changes: dict[str, Any], words: str) -> None:
    assert described({**FETCHING, **changes}, one_machine=True) == words


def test_in_a_cluster_the_way_to_the_cause_is_told() -> None:
    waits = {**FETCHING, "bytes_total": None, "reason": "WaitingForContainer", "message": "`kubectl describe` says why"}
    assert described(waits, one_machine=False) == "`kubectl describe` says why"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "shown"), [(40, "1.0 GB of 4.0 GB, 2"), (60, "30 s left"), (120, "30 s left")])
def test_on_a_terminal_the_words_come_before_the_bar_and_leave_room_for_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    with DownloadProgress(terminal, one_machine=True) as progress:
        progress.show(FETCHING)
    lines = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue()).splitlines()
    assert any(shown in line for line in lines)
    assert max(map(len, lines)) <= columns - len("^C")
