"""The status of a download in each state of its life, and the words it is told in: pure.

Each function returns the whole status, from the stored one.
"""

from datetime import datetime
from typing import Any

from berth_api.conditions import Condition, ConditionStatus, ConditionType, merge_conditions
from berth_api.download_report import DownloadReport, DownloadStep
from berth_api.model_deployment import MODEL_STORE
from berth_api.model_download import DownloadPhase, ModelDownload, ModelDownloadStatus
from berth_cluster.cluster import Object
from berth_operator.deployments.failure import PodFailure
from berth_operator.downloads.progress import Progress

_STEPS = {
    DownloadStep.LISTING: "the hub is asked for the repository's files",
    DownloadStep.DOWNLOADING: "files are fetched",
    DownloadStep.VERIFYING: "files are checked",
    DownloadStep.PUBLISHING: "the model is put in its place",
}
STARTING = PodFailure("Starting", "the download begins", ended=False)
WAITING_FOR_NODE = PodFailure("WaitingForNode", "the pod waits for a node", ended=False)
WAITING_FOR_POD = PodFailure("WaitingForPod", "the Job makes its pod", ended=False)

_NO_RATES: dict[str, Any] = {"bytes_per_second": None, "eta_seconds": None}


def pending(
    download: ModelDownload, why: PodFailure, now: datetime, *, stalled: bool = False, job: str | None = None
) -> ModelDownloadStatus:
    """It does not run, for this reason. Stalled: somebody has to do something.

    What an earlier try reached stays told.
    """
    return _status(
        download, DownloadPhase.PENDING, why.reason, why.message, now, stalled=stalled, job_name=job, **_NO_RATES
    )


def running(download: ModelDownload, job: str, progress: Progress | None, now: datetime) -> ModelDownloadStatus:
    """It runs, and is this far."""
    if progress is None:
        return _status(
            download, DownloadPhase.RUNNING, STARTING.reason, STARTING.message, now, job_name=job, **_NO_RATES
        )
    report = progress.report
    message = report.message or _STEPS.get(report.phase, "it ends")
    rates: dict[str, Any] = {"bytes_per_second": progress.bytes_per_second, "eta_seconds": progress.eta_seconds}
    reason = report.phase.value if report.phase in _STEPS else "Ending"
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
    download: ModelDownload, failure: PodFailure, report: DownloadReport | None, now: datetime
) -> ModelDownloadStatus:
    """It failed for good."""
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


def waits_for_container(pod: Object) -> PodFailure:
    """Why a download waits whose pod has a node.

    What the node cannot do, such as mount the store, is told in events alone.
    """
    message = f"the node mounts the store and pulls the image; if that takes long, `kubectl describe pod {pod['metadata']['name']}` says why"
    return PodFailure("WaitingForContainer", message, ended=False)


def unavailable() -> PodFailure:
    """The failure of every download of an installation that has no image for it."""
    return PodFailure(
        "DownloadsUnavailable",
        "this installation has no image for downloads: the administrator sets downloads.image",
        ended=False,
    )


def waits_for(other: ModelDownload) -> PodFailure:
    """Why a download waits whose destination another one writes to."""
    message = f"the download {other.name} writes to the same place, {MODEL_STORE}/{other.destination}: this one begins when that has ended"
    return PodFailure("WaitingForOther", message, ended=False)


def waits_for_earlier(remainder: Object, stuck: bool) -> PodFailure:
    """Why a download waits while a Job or pod of an earlier one of its name goes. `stuck`: it should have gone."""
    kind, name = remainder.get("kind", "object"), remainder["metadata"]["name"]
    message = f"the {kind} {name} of an earlier download of this name has still to go"
    if stuck:
        message += (
            f", and should have gone by now. If its node is dead, `kubectl delete {kind.lower()} {name} --force` takes it away;"
            " if it is not, the earlier download may still be writing"
        )
    return PodFailure("CleaningUp", message, ended=False)


def no_pod(job: Object) -> PodFailure:
    """Why a download waits whose Job cannot make its pod."""
    name = job["metadata"]["name"]
    return PodFailure(
        "PodNotCreated",
        f"the Job {name} makes no pod; `kubectl describe job {name}` says why: a quota or a policy",
        ended=False,
    )


def tries_again(failure: PodFailure) -> PodFailure:
    """Why a download waits after a try that failed."""
    return PodFailure(failure.reason, f"{failure.message}; it is tried again, and goes on where it was", ended=False)


def _reached(report: DownloadReport) -> dict[str, Any]:
    """What a report says of how far it is; what it does not say is left as it was.

    Figures before it knows the files say nothing.
    """
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
    # Conditions tell turns, not every second's figures.
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
