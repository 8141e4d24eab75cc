"""What was observed of a download in, what is done and said out: without a cluster and without a clock."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from berth_api.cluster import Object
from berth_api.conditions import ConditionType, condition_of
from berth_api.model_download import ModelDownload, ModelDownloadStatus
from berth_operator.downloads.plan import (
    Observed,
    job_refused,
    make_plan,
)
from berth_operator.downloads.progress import Progress
from berth_operator.settings import Settings
from tests.unit.operator.building import NOW, at
from tests.unit.operator.downloads.building import (
    POD_UID,
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

BEGUN: dict[str, Any] = {"jobName": "smol", "startedAt": at(-50)}
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
    progress: Progress | None = None
    others: list[ModelDownload] = field(default_factory=list[ModelDownload])
    message: str = ""
    stalled: bool = False
    wake_in: float | None = None
    settings: Settings = field(default_factory=lambda: SETTINGS)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}}]}


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes", "lastTransitionTime": at(-60)}
    ],
}

CASES = [
    Case("a new download gets its Job", ["create smol", "status"], "Pending", "WaitingForPod"),
    Case("one that is being deleted is left alone", [], None, None, download(deletionTimestamp=at(-1))),
    Case(
        "without an image nothing is downloaded, and that is said",
        ["status"],
        "Pending",
        "DownloadsUnavailable",
        stalled=True,
        settings=Settings(),
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
        message="kubectl describe job smol",
    ),
    Case("a pod without a node", ["status"], "Pending", "WaitingForNode", jobs=[job()], pods=[pod(node=None)], wake_in=5),
    Case(
        "a node pulls the image",
        ["status"],
        "Pending",
        "WaitingForContainer",
        jobs=[job()],
        pods=[pod()],
        wake_in=5,
        message="kubectl describe pod smol-x",
    ),
    Case(
        "no node can take it",
        ["status"],
        "Pending",
        "Unschedulable",
        jobs=[job()],
        pods=[pod(UNSCHEDULABLE, node=None)],
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
    Case("it says how far it is", ["status"], "Running", "Downloading", jobs=[job()], pods=[running()], progress=progress()),
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
        ["create smol", "status"],
        "Pending",
        "WaitingForPod",
        download(status={**BEGUN, "phase": "Running"}),
    ),
    Case(
        "an earlier download's Job of this name must go first",
        ["status"],
        "Pending",
        "CleaningUp",
        jobs=[job(owner="earlier-uid")],
        message="the Job smol",
    ),
    Case("and so must its pod", ["status"], "Pending", "CleaningUp", pods=[running(owner="earlier-job")], message="the Pod smol-x"),
    Case("but a pod that has ended may stay", ["create smol", "status"], "Pending", "WaitingForPod", pods=[ended(0)]),
    Case("a clean-up that runs is waited for", ["status"], "Pending", "CleaningUp", jobs=[job("smol-cleanup", owner=None)]),
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
        ["create smol", "status"],
        "Pending",
        "WaitingForPod",
        others=[download(creationTimestamp=at(-50), **OTHER)],
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
        ["create smol", "status"],
        "Pending",
        "WaitingForPod",
        download(status=BEGUN),
        others=[download(creationTimestamp=at(-200), **OTHER)],
    ),
    Case(
        "who has ended is not waited for",
        ["create smol", "status"],
        "Pending",
        "WaitingForPod",
        others=[download(status={**BEGUN, "phase": "Succeeded"}, creationTimestamp=at(-200), **OTHER)],
    ),
    Case(
        "and neither is who writes elsewhere",
        ["create smol", "status"],
        "Pending",
        "WaitingForPod",
        others=[download({"destination": "SmolLM2-other"}, creationTimestamp=at(-200), **OTHER)],
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
    Case("and then deleted", ["delete download"], "Failed", None, download(status={"phase": "Failed", "finishedAt": at(-604_800)})),
    Case(
        "or kept for ever",
        [],
        "Failed",
        None,
        download(status={"phase": "Failed", "finishedAt": at(-9_999_999)}),
        settings=Settings.model_validate({"downloads": {"image": "x", "keepSeconds": 0}}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_follows(case: Case) -> None:
    plan = make_plan(Observed(case.download, case.jobs, case.pods, case.progress, [case.download, *case.others]), case.settings, NOW)
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


def status_of(**observed: Any) -> ModelDownloadStatus:
    return make_plan(Observed(download(status=BEGUN), [job()], **observed), SETTINGS, NOW).status


def test_the_figures_of_a_running_download_are_told_exactly() -> None:
    status = status_of(pods=[running()], progress=progress())
    assert status.manifest() | {"conditions": None} == {
        "observedGeneration": 1,
        "phase": "Running",
        "reason": "Downloading",
        "message": "files are fetched",
        "conditions": None,
        "progress": "42%",
        "commit": "c0ffee",
        "bytesDone": 420,
        "bytesTotal": 1000,
        "bytesFetched": 500,
        "bytesPerSecond": 58,
        "etaSeconds": 10,
        "filesDone": 1,
        "filesTotal": 3,
        "jobName": "smol",
        "startedAt": "2026-01-02T11:59:10.000Z",
    }


def test_before_the_files_are_known_no_figures_are_told() -> None:
    status = status_of(
        pods=[running()], progress=progress(phase="Listing", bytesDone=0, bytesTotal=0, filesDone=0, filesTotal=0, bytesFetched=0)
    )
    assert (status.reason, status.progress, status.bytes_total, status.files_total) == ("Listing", None, None, None)


def test_figures_of_the_end_are_those_of_the_last_word() -> None:
    status = status_of(pods=[ended(0, last_word("Succeeded", bytesDone=1000, filesDone=3, bytesFetched=1100))])
    assert (status.progress, status.bytes_done, status.files_done, status.bytes_fetched) == ("100%", 1000, 3, 1100)
    assert (status.bytes_per_second, status.eta_seconds, status.finished_at) == (None, None, NOW)


def test_what_was_reached_is_still_told_while_another_try_is_waited_for() -> None:
    before = {**BEGUN, "bytesDone": 420, "bytesTotal": 1000, "progress": "42%", "bytesPerSecond": 58, "etaSeconds": 10}
    observed = Observed(download(status=before), [job(failed=1)], [ended(137)])
    status = make_plan(observed, SETTINGS, NOW).status
    assert (status.progress, status.bytes_done, status.bytes_per_second, status.eta_seconds) == ("42%", 420, None, None)


def test_progress_is_asked_where_the_observed_pod_listens() -> None:
    plan = make_plan(Observed(download(), [job()], [running()]), SETTINGS, NOW)
    assert (plan.progress_url, plan.pod) == ("http://10.0.0.5:8123/progress", POD_UID)
    six = running()
    six["status"]["podIP"] = "fd00::5"
    assert make_plan(Observed(download(), [job()], [six]), SETTINGS, NOW).progress_url == "http://[fd00::5]:8123/progress"
    assert make_plan(Observed(download(), [job()], [pod()]), SETTINGS, NOW).progress_url is None


def test_conditions_do_not_change_with_every_byte() -> None:
    first, second = (
        status_of(pods=[running()], progress=progress(bytesDone=done, phase=step)) for done, step in [(1, "Downloading"), (2, "Verifying")]
    )
    assert first.conditions == second.conditions


def test_a_refused_job_is_told_and_tried_again() -> None:
    plan = job_refused(download(), "JobRefused", "exceeded quota", NOW)
    stalled = condition_of(plan.status.conditions, ConditionType.STALLED)
    assert (plan.status.phase, plan.status.reason, plan.status.message) == ("Pending", "JobRefused", "the Job was refused: exceeded quota")
    assert stalled
    assert stalled.status == "True"
