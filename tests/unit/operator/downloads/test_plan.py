"""What was observed of a download in, what is done and said out: without a cluster and without a clock.

What another download, or an earlier one of the name, keeps it from is in `test_waiting.py`.
"""

from typing import Any

import pytest

from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import at
from tests.unit.operator.downloads.building import download, ended, job, last_word, pod, progress, running
from tests.unit.operator.downloads.cases import BEGUN, Case


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {
        "phase": "Pending",
        "containerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}}],
    }


def unschedulable(seconds: float) -> dict[str, Any]:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    return {"phase": "Pending", "conditions": [{**said, "lastTransitionTime": at(-seconds)}]}


CASES = [
    Case("a new download gets its Job", ["create smol-aaaaaaaa", "status"], "Pending", "WaitingForPod", wake_in=15),
    Case("one that is being deleted is left alone", [], None, None, download(deletionTimestamp=at(-1))),
    Case(
        "without an image nothing is downloaded, and that is said",
        ["status"],
        "Pending",
        "DownloadsUnavailable",
        stalled=True,
        settings=OperatorSettings(),
        message="the administrator sets downloads.image",
    ),
    Case("a Job makes its pod", ["status"], "Pending", "WaitingForPod", jobs=[job()], wake_in=13),
    Case(
        "a Job that cannot make a pod tells where to look",
        ["status"],
        "Pending",
        "PodNotCreated",
        jobs=[job(metadata={"creationTimestamp": at(-15)})],
        stalled=True,
        message="kubectl describe job smol-aaaaaaaa",
    ),
    Case("a pod without a node", ["status"], "Pending", "WaitingForNode", jobs=[job()], pods=[pod(node=None)]),
    Case(
        "a pod for which there is no node, for a moment",
        ["status"],
        "Pending",
        "WaitingForNode",
        jobs=[job()],
        pods=[pod(unschedulable(2), node=None)],
        wake_in=3,
    ),
    Case(
        "a node pulls the image",
        ["status"],
        "Pending",
        "WaitingForContainer",
        jobs=[job()],
        pods=[pod()],
        message="kubectl describe pod smol-x",
    ),
    Case(
        "no node can take it",
        ["status"],
        "Pending",
        "Unschedulable",
        jobs=[job()],
        pods=[pod(unschedulable(60), node=None)],
        stalled=True,
        message="0/1 nodes",
    ),
    Case(
        "the image is not there",
        ["status"],
        "Pending",
        "ImagePullFailed",
        jobs=[job()],
        pods=[pod(waiting("ErrImagePull"))],
        stalled=True,
        message="x:1",
    ),
    Case(
        "the token's secret is not there",
        ["status"],
        "Pending",
        "ContainerNotCreated",
        jobs=[job()],
        pods=[pod(waiting("CreateContainerConfigError", 'secret "hub" not found'))],
        stalled=True,
        message='secret "hub" not found',
    ),
    Case("it runs, and has said nothing yet", ["status"], "Running", "Starting", jobs=[job()], pods=[running()]),
    Case(
        "it says how far it is",
        ["status"],
        "Running",
        "Downloading",
        jobs=[job()],
        pods=[running()],
        progress=progress(),
    ),
    Case(
        "what an earlier pod said does not count",
        ["status"],
        "Running",
        "Starting",
        jobs=[job()],
        pods=[running()],
        progress=progress("another-uid"),
    ),
    Case(
        "the newest pod counts",
        ["status"],
        "Running",
        "Starting",
        jobs=[job()],
        pods=[running(), {**ended(137), "metadata": {**pod()["metadata"], "creationTimestamp": at(-60)}}],
    ),
    # Ends
    Case(
        "it has ended well",
        ["status"],
        "Succeeded",
        "Succeeded",
        jobs=[job()],
        pods=[ended(0, last_word("Succeeded"))],
        message="/models/SmolLM2",
    ),
    Case("the Job has, though its pod is gone", ["status"], "Succeeded", "Succeeded", jobs=[job(condition="Complete")]),
    Case(
        "it has failed for good, in its own words",
        ["status"],
        "Failed",
        "RepositoryGated",
        jobs=[job()],
        pods=[ended(3, last_word("Failed", reason="RepositoryGated", message="ask for access"))],
        message="ask for access",
        stalled=True,
    ),
    Case(
        "a setting of it is wrong, which no other try mends",
        ["status"],
        "Failed",
        "InvalidSettings",
        jobs=[job()],
        pods=[ended(2, last_word("Failed", reason="InvalidSettings", message="HF_ENDPOINT is 'x'"))],
        message="HF_ENDPOINT is 'x'",
        stalled=True,
    ),
    Case(
        "it was killed and is tried again",
        ["status"],
        "Pending",
        "DownloadKilled",
        jobs=[job(failed=1)],
        pods=[ended(137)],
        message="the download was ended by SIGKILL; it is tried again, and goes on where it was",
    ),
    Case(
        "it needed too much memory",
        ["status"],
        "Pending",
        "OutOfMemory",
        jobs=[job(failed=1)],
        pods=[ended(137, reason="OOMKilled")],
        message="the download needed more than the memory of its node",
    ),
    Case(
        "the hub was away; it is tried again",
        ["status"],
        "Pending",
        "HubUnavailable",
        jobs=[job(failed=1)],
        pods=[ended(1, last_word("Failed", reason="HubUnavailable", message="no answer"))],
        message="no answer; it is tried again",
    ),
    Case(
        "all tries are used up",
        ["status"],
        "Failed",
        "HubUnavailable",
        jobs=[job(condition="BackoffLimitExceeded", failed=11)],
        pods=[ended(1, last_word("Failed", reason="HubUnavailable", message="no answer"))],
        message="given up after 11 tries; the last: no answer",
        stalled=True,
    ),
    Case(
        "the Job failed and nothing is left of its pods",
        ["status"],
        "Failed",
        "BackoffLimitExceeded",
        jobs=[job(condition="BackoffLimitExceeded", failed=11)],
        message="the Job's words",
        stalled=True,
    ),
    Case(
        "a Job that somebody deleted is made again",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        download(status={**BEGUN, "phase": "Running"}),
        wake_in=15,
    ),
    # Afterwards
    Case(
        "what has ended is kept a week",
        [],
        "Succeeded",
        None,
        download(status={"phase": "Succeeded", "finishedAt": at(-60)}),
        wake_in=604_740,
    ),
    Case(
        "and then deleted",
        ["delete download"],
        "Failed",
        None,
        download(status={"phase": "Failed", "finishedAt": at(-604_800)}),
    ),
    Case(
        "or kept for ever",
        [],
        "Failed",
        None,
        download(status={"phase": "Failed", "finishedAt": at(-9_999_999)}),
        settings=OperatorSettings.model_validate({"downloads": {"image": "x", "keepSeconds": 0}}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_follows(case: Case) -> None:
    case.check()
