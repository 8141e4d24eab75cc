"""What a download waits for: what is left of an earlier one of its name, and who else writes to its place."""

from typing import Any

import pytest

from tests.unit.operator.building import at
from tests.unit.operator.downloads.building import download, ended, job, running
from tests.unit.operator.downloads.cases import BEGUN, Case

OTHER: dict[str, Any] = {"name": "other", "uid": "other-uid"}

CASES = [
    Case(
        "an earlier download's Job of this name must go first",
        ["status"],
        "Pending",
        "CleaningUp",
        jobs=[job(owner="earlier-uid")],
        message="the Job smol-aaaaaaaa",
    ),
    Case(
        "and so must its pod",
        ["status"],
        "Pending",
        "CleaningUp",
        pods=[running(owner="earlier-job")],
        message="the Pod smol-x",
    ),
    Case(
        "what should have gone long ago needs somebody",
        ["status"],
        "Pending",
        "CleaningUp",
        pods=[running(owner="earlier-job", deletionTimestamp=at(-60))],
        message="kubectl delete pod smol-x --force",
        stalled=True,
    ),
    Case(
        "what has yet to go has its time",
        ["status"],
        "Pending",
        "CleaningUp",
        pods=[running(owner="earlier-job", deletionTimestamp=at(-50))],
        message="the Pod smol-x",
        wake_in=10,
    ),
    Case(
        "its own Job, which somebody deleted, must go first too",
        ["status"],
        "Pending",
        "CleaningUp",
        download(status=BEGUN),
        jobs=[job(metadata={"deletionTimestamp": at(5)})],
        wake_in=65,
    ),
    Case(
        "a Job of an earlier version of Berth, whose name lacks the uid, is its own",
        ["status"],
        "Pending",
        "WaitingForPod",
        jobs=[job("smol")],
        wake_in=13,
    ),
    Case(
        "but a pod that has ended may stay",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        pods=[ended(0)],
        wake_in=15,
    ),
    Case(
        "a clean-up that runs is waited for",
        ["status"],
        "Pending",
        "CleaningUp",
        jobs=[job("smol-cleanup", owner=None)],
    ),
    Case(
        "a clean-up that has ended goes",
        ["delete smol-cleanup", "status"],
        "Pending",
        "CleaningUp",
        jobs=[job("smol-cleanup", owner=None, condition="Complete")],
    ),
    Case(
        "the second download to one place waits",
        ["status"],
        "Pending",
        "WaitingForOther",
        others=[download(creationTimestamp=at(-200), **OTHER)],
        message="the download other writes to the same place, /models/SmolLM2",
    ),
    Case(
        "and so does one inside of it",
        ["status"],
        "Pending",
        "WaitingForOther",
        download({"destination": "SmolLM2/inner"}),
        others=[download(creationTimestamp=at(-200), **OTHER)],
    ),
    Case(
        "the older of two begins",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        others=[download(creationTimestamp=at(-50), **OTHER)],
        wake_in=15,
    ),
    Case(
        "but one that has begun goes on",
        ["status"],
        "Pending",
        "WaitingForOther",
        others=[download(status=BEGUN, creationTimestamp=at(-50), **OTHER)],
    ),
    Case(
        "of two that have begun the older goes on",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        download(status=BEGUN),
        others=[download(creationTimestamp=at(-200), **OTHER)],
        wake_in=15,
    ),
    Case(
        "who has ended is not waited for",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        others=[download(status={**BEGUN, "phase": "Succeeded"}, creationTimestamp=at(-200), **OTHER)],
        wake_in=15,
    ),
    Case(
        "and neither is who writes elsewhere",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        others=[download({"destination": "SmolLM2-other"}, creationTimestamp=at(-200), **OTHER)],
        wake_in=15,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_follows(case: Case) -> None:
    case.check()
