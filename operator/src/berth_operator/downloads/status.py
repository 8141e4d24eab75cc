"""The status of a download in each state of its life: pure.

Each function returns the whole status, made of the stored one.
"""

from datetime import datetime
from typing import Any

from berth_api.conditions import Condition, ConditionStatus, ConditionType, merge_conditions
from berth_api.download_report import DownloadReport, DownloadStep
from berth_api.model_deployment import MODEL_STORE
from berth_api.model_download import DownloadPhase, ModelDownload, ModelDownloadStatus
from berth_cluster.cluster import Object
from berth_operator.downloads.reported_progress import ReportedProgress
from berth_operator.objects.pod_failure import Cause

_STEPS = {
    DownloadStep.LISTING: "the hub is asked for the repository's files",
    DownloadStep.DOWNLOADING: "files are fetched",
    DownloadStep.VERIFYING: "files are checked",
    DownloadStep.PUBLISHING: "the model is put in its place",
}
STARTING = Cause("Starting", "the download begins", ended=False)
WAITING_FOR_NODE = Cause("WaitingForNode", "the pod waits for a node", ended=False)
WAITING_FOR_POD = Cause("WaitingForPod", "the Job makes its pod", ended=False)

_NO_RATES: dict[str, Any] = {"bytes_per_second": None, "eta_seconds": None}


def pending(
    download: ModelDownload, why: Cause, now: datetime, *, stalled: bool = False, job: str | None = None
) -> ModelDownloadStatus:
    """The download does not run, for this reason. `stalled`: a person has to do something.

    What an earlier try has reached stays in the status.
    """
    return _status(
        download, DownloadPhase.PENDING, why.reason, why.message, now, stalled=stalled, job_name=job, **_NO_RATES
    )


def running(download: ModelDownload, job: str, progress: ReportedProgress | None, now: datetime) -> ModelDownloadStatus:
    """The download runs. `progress`: what it last reported; None where it has reported nothing yet."""
    if progress is None:
        return _status(
            download, DownloadPhase.RUNNING, STARTING.reason, STARTING.message, now, job_name=job, **_NO_RATES
        )
    report = progress.report
    message = report.message or _STEPS.get(report.phase, "it ends")
    rates: dict[str, Any] = {"bytes_per_second": progress.bytes_per_second, "eta_seconds": progress.eta_seconds}
    # A reason of its own is what stands in the way, such as HubUnavailable.
    reason = (report.reason or report.phase.value) if report.phase in _STEPS else "Ending"
    return _status(download, DownloadPhase.RUNNING, reason, message, now, job_name=job, **_reached(report), **rates)


def succeeded(download: ModelDownload, report: DownloadReport | None, now: datetime) -> ModelDownloadStatus:
    """The model is in the store."""
    message = f"the model is in the store: {MODEL_STORE}/{download.destination}"
    return _status(
        download,
        DownloadPhase.SUCCEEDED,
        "Succeeded",
        message,
        now,
        finished_at=now,
        **(_reached(report) if report else {}),
        **_NO_RATES,
    )


def failed(
    download: ModelDownload, failure: Cause, report: DownloadReport | None, now: datetime
) -> ModelDownloadStatus:
    """The download failed for good."""
    return _status(
        download,
        DownloadPhase.FAILED,
        failure.reason,
        failure.message,
        now,
        finished_at=now,
        **(_reached(report) if report else {}),
        **_NO_RATES,
    )


def waits_for_container(pod: Object) -> Cause:
    """Why a download waits whose pod has a node.

    Where the node cannot mount the store, for example, only the pod's events say so.
    """
    describe = f"`kubectl describe pod {pod['metadata']['name']}`"
    message = f"the node mounts the store and pulls the image; if that takes long, {describe} says why"
    return Cause("WaitingForContainer", message, ended=False)


def unavailable() -> Cause:
    """Why every download waits in an installation without an image for downloads."""
    return Cause(
        "DownloadsUnavailable",
        "this installation has no image for downloads: the administrator sets downloads.image",
        ended=False,
    )


def waits_for(other: ModelDownload) -> Cause:
    """Why a download waits while another one writes to its destination."""
    message = (
        f"the download {other.name} writes to the same place, {MODEL_STORE}/{other.destination}:"
        " this one begins when that has ended"
    )
    return Cause("WaitingForOther", message, ended=False)


def waits_for_earlier(remainder: Object, stuck: bool) -> Cause:
    """Why a download waits for the end of a Job or pod of an earlier one of its name. `stuck`: it is overdue."""
    kind, name = remainder.get("kind", "object"), remainder["metadata"]["name"]
    message = f"the {kind} {name} of an earlier download of this name has still to go"
    if stuck:
        delete = f"`kubectl delete {kind.lower()} {name} --force`"
        message += (
            f", and should have gone by now. If its node is dead, {delete} takes it away;"
            " if it is not, the earlier download may still be writing"
        )
    return Cause("CleaningUp", message, ended=False)


def no_pod(job: Object) -> Cause:
    """Why a download waits whose Job cannot make its pod."""
    name = job["metadata"]["name"]
    return Cause(
        "PodNotCreated",
        f"the Job {name} makes no pod; `kubectl describe job {name}` says why: a quota or a policy",
        ended=False,
    )


def tries_again(failure: Cause) -> Cause:
    """Why a download waits after a try that failed."""
    return Cause(failure.reason, f"{failure.message}; it is tried again, and goes on where it was", ended=False)


def _reached(report: DownloadReport) -> dict[str, Any]:
    """The fields of the status that a report changes. Sizes count only once the download knows its files."""
    figures = {"bytes_done", "bytes_total", "files_done", "files_total"}
    unknown = set[str]() if report.files_total else figures
    stated = report.model_dump(exclude={"phase", "reason", "message", *unknown}, exclude_none=True)
    if report.bytes_total and report.bytes_done is not None:
        stated["progress"] = f"{min(report.bytes_done, report.bytes_total) * 100 // report.bytes_total}%"
    return stated


def _status(
    download: ModelDownload,
    phase: DownloadPhase,
    reason: str,
    message: str,
    now: datetime,
    *,
    stalled: bool = False,
    **changes: Any,
) -> ModelDownloadStatus:
    stored = download.status
    stalled = stalled or phase is DownloadPhase.FAILED
    # Conditions change with the phase, and not with the progress of each second.
    turn, said = (reason, message) if phase is not DownloadPhase.RUNNING else ("Running", "the download runs")

    def condition(kind: ConditionType, status: ConditionStatus, why: str, text: str) -> Condition:
        return Condition(type=kind, status=status, reason=why, message=text, observed_generation=download.generation)

    done = phase is DownloadPhase.SUCCEEDED
    not_stalled = condition(ConditionType.STALLED, "False", "NotStalled", "nothing stands in the way")
    conditions = [
        condition(ConditionType.READY, "True" if done else "False", turn, said),
        condition(ConditionType.RECONCILING, "False" if done or stalled else "True", turn, said),
        condition(ConditionType.STALLED, "True", turn, said) if stalled else not_stalled,
    ]
    return stored.model_copy(
        update={
            "observed_generation": download.generation,
            "phase": phase,
            "reason": reason,
            "message": message,
            "conditions": merge_conditions(stored.conditions, conditions, now),
            "started_at": stored.started_at or (now if changes.get("job_name") else None),
            **{key: value for key, value in changes.items() if value is not None or key in _NO_RATES},
        }
    )
