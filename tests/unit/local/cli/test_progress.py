"""How far a download is, in words."""

from typing import Any

import pytest

from berth_local.cli.progress import described

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
