"""What was observed of a download in, what is done and said out: without a cluster and without a clock."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from berth_api.model_download import ModelDownload
from berth_cluster.cluster import Object
from berth_operator.downloads.plan import ObservedDownload, make_plan
from berth_operator.downloads.reported_progress import ReportedProgress
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, at
from tests.unit.operator.downloads.building import (
    SETTINGS,
    actions,
    download,
    ended,
    job,
    last_word,
    pod,
    progress,
    running,
    wake_in,
)

BEGUN: dict[str, Any] = {"jobName": "smol-aaaaaaaa", "startedAt": at(-50)}
OTHER: dict[str, Any] = {"name": "other", "uid": "other-uid"}


@dataclass
class Case:
    """One state of the world, and what must follow."""

    name: str
    actions: list[str]
    phase: str | None
    reason: str | None
    download: ModelDownload = field(default_factory=download)
    jobs: list[Object] = field(default_factory=list[Object])
    pods: list[Object] = field(default_factory=list[Object])
    progress: ReportedProgress | None = None
    others: list[ModelDownload] = field(default_factory=list[ModelDownload])
    message: str = ""
    stalled: bool = False
    wake_in: float | None = None
    settings: OperatorSettings = field(default_factory=lambda: SETTINGS)


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
    # Others
    Case(
        "a Job that somebody deleted is made again",
        ["create smol-aaaaaaaa", "status"],
        "Pending",
        "WaitingForPod",
        download(status={**BEGUN, "phase": "Running"}),
        wake_in=15,
    ),
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
    plan = make_plan(
        ObservedDownload(case.download, case.jobs, case.pods, case.progress, [case.download, *case.others]),
        case.settings,
        NOW,
    )
    assert actions(plan.actions) == case.actions
    assert (plan.status.phase, plan.status.reason) == (case.phase, case.reason)
    assert case.message in (plan.status.message or "")
    assert wake_in(plan) == case.wake_in
    if plan.status.conditions:
        conditions = {condition.type: condition.status for condition in plan.status.conditions}
        succeeded = case.phase == "Succeeded"
        assert conditions == {
            "Ready": str(succeeded),
            "Reconciling": str(not succeeded and not case.stalled),
            "Stalled": str(case.stalled),
        }
