"""What to do about one download: a pure function of what was observed.

The Job makes one pod after another until the download has ended; which of them runs, and how far it is, is read anew each time. So a
crash between any two writes loses nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from berth_api.cluster import Object, Preconditions
from berth_api.download_report import FINAL_EXITS, DownloadReport
from berth_api.model_download import ModelDownload, ModelDownloadStatus
from berth_operator.downloads import status as states
from berth_operator.downloads.progress import Progress
from berth_operator.failure import PodFailure, pod_failure
from berth_operator.resources import cleanup_name, make_cleanup_job, make_download_job
from berth_operator.resources.download_job import CONTAINER
from berth_operator.settings import Settings

_PROCESS = "download"
_POD_CREATION = timedelta(seconds=15)
"""A Job that has made no pod after this time cannot."""

_CLEANUP_AFTER = timedelta(seconds=5)
"""Who deletes a download and at once makes it again wants to go on, not to begin anew."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is so: the download, the Jobs and pods of its name, what it last said, and the other downloads."""

    download: ModelDownload
    jobs: list[Object] = field(default_factory=list[Object])
    pods: list[Object] = field(default_factory=list[Object])
    progress: Progress | None = None
    others: list[ModelDownload] = field(default_factory=list[ModelDownload])


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a download that is no more."""

    name: str
    jobs: list[Object]
    pods: list[Object]
    has_staging: bool
    """Whether it may have left files."""

    gone_since: datetime


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create this Job."""

    manifest: Object


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete this very Job, and its pods."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the plan's status, if it differs from the stored one."""


@dataclass(frozen=True, slots=True)
class DeleteDownload:
    """Delete the download, if it is still as it was read."""

    preconditions: Preconditions


Action = CreateJob | DeleteJob | WriteStatus | DeleteDownload


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; the status that should be; whom to ask for progress; and when to look again."""

    actions: list[Action]
    status: ModelDownloadStatus
    progress_url: str | None = None
    """Where the running download tells how far it is."""

    pod: str | None = None
    """uid of the pod that tells it."""

    wake_at: datetime | None = None
    """When to look again though nothing has been heard; None: not before something is."""

    waits_for: str | None = None
    """Name of the download that must end first."""


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What to do about the remains; whether there is more to come, and when to look again."""

    actions: list[CreateJob | DeleteJob]
    finished: bool = False
    wake_at: datetime | None = None


def make_plan(observed: Observed, settings: Settings, now: datetime) -> Plan:
    """Decides. Raises nothing; what is wrong becomes part of the status."""
    download = observed.download
    if download.deleting:
        return Plan([], download.status)
    if download.status.phase and download.status.phase.finished:
        return _keep(download, settings, now)
    own = next((job for job in observed.jobs if job["metadata"]["name"] == download.name and _owned_by(job, download.uid)), None)
    if own is not None and "deletionTimestamp" not in own["metadata"]:
        return _judge(observed, own, settings, now)
    return _begin(observed, settings, now)


def job_refused(download: ModelDownload, reason: str, message: str, now: datetime) -> Plan:
    """What follows when the API server does not let the Job be created. It is tried again in a while."""
    refused = PodFailure(reason, f"the Job was refused: {message}", ended=False)
    return Plan([WriteStatus()], states.pending(download, refused, now, stalled=True))


def make_cleanup_plan(remains: Remains, settings: Settings, now: datetime) -> CleanupPlan:
    """What to do once a download has been deleted: when nothing of it runs any more, its partial files are removed."""
    cleanup = next((job for job in remains.jobs if job["metadata"]["name"] == cleanup_name(remains.name)), None)
    if cleanup is not None:
        return CleanupPlan([_delete(cleanup)] if _is_over(cleanup) else [], finished=_is_over(cleanup))
    if not remains.has_staging or settings.downloads.image is None:
        return CleanupPlan([], finished=True)
    if remains.jobs or not all(_has_ended(pod) for pod in remains.pods):
        return CleanupPlan([])
    due = remains.gone_since + _CLEANUP_AFTER
    if due > now:
        return CleanupPlan([], wake_at=due)
    return CleanupPlan([CreateJob(make_cleanup_job(remains.name, settings.downloads.image, settings))])


def _keep(download: ModelDownload, settings: Settings, now: datetime) -> Plan:
    """A finished download stays for a while, for those who ask."""
    if settings.downloads.keep_seconds == 0 or download.status.finished_at is None:
        return Plan([], download.status)
    until = download.status.finished_at + timedelta(seconds=settings.downloads.keep_seconds)
    if until <= now:
        return Plan([DeleteDownload(Preconditions(download.uid, download.resource_version))], download.status)
    return Plan([], download.status, wake_at=until)


def _begin(observed: Observed, settings: Settings, now: datetime) -> Plan:
    """There is no Job: make one, if there may be one."""
    download = observed.download
    image = settings.downloads.image
    if image is None:
        return Plan([WriteStatus()], states.pending(download, states.unavailable(), now, stalled=True))
    earlier = [*observed.jobs, *(pod for pod in observed.pods if not _has_ended(pod))]
    if earlier:
        waiting = states.pending(download, states.waits_for_earlier(earlier[0]), now)
        over = [_delete(job) for job in observed.jobs if job["metadata"]["name"] == cleanup_name(download.name) and _is_over(job)]
        return Plan([*over, WriteStatus()], waiting)
    rival = next((other for other in observed.others if _goes_before(other, download)), None)
    if rival is not None:
        return Plan([WriteStatus()], states.pending(download, states.waits_for(rival), now), waits_for=rival.name)
    job = make_download_job(download, image, settings)
    return Plan([CreateJob(job), WriteStatus()], states.pending(download, states.WAITING_FOR_POD, now, job=download.name))


def _judge(observed: Observed, job: Object, settings: Settings, now: datetime) -> Plan:
    """There is a Job: it waits, runs, or has ended."""
    download = observed.download
    pods = [pod for pod in observed.pods if _owned_by(pod, job["metadata"]["uid"])]
    pod = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
    ended = _terminated(pod) if pod else None
    report = DownloadReport.parse(ended.get("message") or "") if ended else None
    grace = timedelta(seconds=settings.timing.unschedulable_grace)
    failure = pod_failure(pod, now, grace, _PROCESS) if pod else None
    if (ended and ended["exitCode"] == 0) or _condition(job, "Complete"):
        return Plan([WriteStatus()], states.succeeded(download, report, now))
    if report and report.reason and report.message:
        failure = PodFailure(report.reason, report.message, ended=True)
    if (ended and ended["exitCode"] in FINAL_EXITS) or _condition(job, "Failed"):
        return Plan([WriteStatus()], states.failed(download, _final(job, failure), report, now))
    if pod is None:
        return _without_pod(download, job, now)
    if failure:
        why = states.tries_again(failure) if failure.ended else failure
        return Plan([WriteStatus()], states.pending(download, why, now, stalled=not failure.ended, job=download.name))
    url = _progress_url(pod)
    if url is None:
        waiting = states.waits_for_container(pod) if pod["spec"].get("nodeName") else states.WAITING_FOR_NODE
        return Plan([WriteStatus()], states.pending(download, waiting, now, job=download.name), wake_at=now + grace)
    uid = pod["metadata"]["uid"]
    progress = observed.progress if observed.progress and observed.progress.pod == uid else None
    return Plan([WriteStatus()], states.running(download, download.name, progress, now), progress_url=url, pod=uid)


def _without_pod(download: ModelDownload, job: Object, now: datetime) -> Plan:
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if now - since >= _POD_CREATION:
        return Plan([WriteStatus()], states.pending(download, states.no_pod(job), now, stalled=True, job=download.name))
    waiting = states.pending(download, states.WAITING_FOR_POD, now, job=download.name)
    return Plan([WriteStatus()], waiting, wake_at=since + _POD_CREATION)


def _final(job: Object, failure: PodFailure | None) -> PodFailure:
    """The reason of a Job that is over: what the last try said, and how many there were."""
    condition = _condition(job, "Failed") or {}
    tries = _status(job).get("failed", 0)
    if failure is None:
        return PodFailure(condition.get("reason") or "JobFailed", condition.get("message") or "the Job has failed", ended=True)
    if condition.get("reason") == "BackoffLimitExceeded" and tries > 1:
        return PodFailure(failure.reason, f"given up after {tries} tries; the last: {failure.message}", ended=True)
    return failure


def _goes_before(other: ModelDownload, download: ModelDownload) -> bool:
    """Whether the other download writes to the same place, and first."""
    if other.uid == download.uid or other.deleting or (other.status.phase and other.status.phase.finished):
        return False
    mine, theirs = f"{download.destination}/", f"{other.destination}/"
    if not (mine.startswith(theirs) or theirs.startswith(mine)):
        return False

    # One that has begun goes on; of others the older begins.
    def order(of: ModelDownload) -> tuple[bool, datetime, str]:
        return of.status.job_name is None, of.created_at, of.name

    return order(other) < order(download)


def _progress_url(pod: Object) -> str | None:
    """Where the pod's download tells how far it is; None where it does not run."""
    status = _status(pod)
    address: str | None = status.get("podIP")
    if not address or not any("running" in (container.get("state") or {}) for container in status.get("containerStatuses", [])):
        return None
    containers: list[dict[str, Any]] = pod["spec"]["containers"]
    port = next(container["ports"][0]["containerPort"] for container in containers if container["name"] == CONTAINER)
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/progress"


def _terminated(pod: Object) -> dict[str, Any] | None:
    """How the download's container ended; None where it did not, or nobody knows."""
    containers: list[dict[str, Any]] = _status(pod).get("containerStatuses", [])
    return next((container["state"]["terminated"] for container in containers if "terminated" in (container.get("state") or {})), None)


def _has_ended(pod: Object) -> bool:
    return _status(pod).get("phase") in ("Succeeded", "Failed")


def _is_over(job: Object) -> bool:
    return bool(_condition(job, "Complete") or _condition(job, "Failed"))


def _condition(job: Object, kind: str) -> dict[str, Any] | None:
    """The Job's condition of this type, where it holds."""
    conditions: list[dict[str, Any]] = _status(job).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind and condition["status"] == "True"), None)


def _delete(job: Object) -> DeleteJob:
    return DeleteJob(job["metadata"]["name"], job["metadata"]["uid"])


def _status(item: Object) -> dict[str, Any]:
    return item.get("status") or {}


def _owned_by(item: Object, uid: str) -> bool:
    owners: list[Any] = item["metadata"].get("ownerReferences") or []
    return any(owner["uid"] == uid for owner in owners)
