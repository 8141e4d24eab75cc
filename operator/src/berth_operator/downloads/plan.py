"""What to do about one download: a pure function of what was observed.

The Job creates one pod after another until the download has ended. Which pod runs, and how far it is, is read again in
each round. So a crash between two writes loses nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from berth_api.download_report import FINAL_EXITS, DownloadReport
from berth_api.model_download import ModelDownload, ModelDownloadStatus
from berth_cluster.cluster import Object, Preconditions
from berth_operator.downloads import status as states
from berth_operator.downloads.reported_progress import ProgressTarget, ReportedProgress
from berth_operator.objects.parts import condition, is_deleting, is_true, owned_by, status_of
from berth_operator.objects.pod_failure import Cause, pod_failure
from berth_operator.objects.pods import base_url, has_ended, has_node, is_running, terminated, unschedulable_since
from berth_operator.reconciling.writer import DeleteResource, WriteStatus
from berth_operator.resources import cleanup_name, make_cleanup_job, make_download_job
from berth_operator.resources.download_job import CONTAINER
from berth_operator.settings import OperatorSettings

_PROCESS = "download"

_POD_CREATION = timedelta(seconds=15)
"""A Job that has created no pod after this time cannot create one."""

_STUCK_AFTER = timedelta(seconds=60)
"""A deleted object that still exists so long after its grace is stuck: its node does not answer, and may never."""

_CLEANUP_AFTER = timedelta(seconds=5)
"""A user who deletes a download and makes it again at once wants to continue, and keeps the partial files."""


@dataclass(frozen=True, slots=True)
class ObservedDownload:
    """A download as it is now, the Jobs and pods of its name, what it last reported, and all downloads."""

    download: ModelDownload
    jobs: list[Object] = field(default_factory=list[Object])
    pods: list[Object] = field(default_factory=list[Object])
    progress: ReportedProgress | None = None
    others: list[ModelDownload] = field(default_factory=list[ModelDownload])


@dataclass(frozen=True, slots=True)
class DeletedDownload:
    """A download that has been deleted, and what is left of it."""

    name: str
    jobs: list[Object]
    pods: list[Object]
    has_staging: bool
    """Whether it may have left partial files."""

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


DownloadAction = CreateJob | DeleteJob | WriteStatus | DeleteResource


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """What to do, in this order; the status that should be; and when to look again."""

    actions: list[DownloadAction]
    status: ModelDownloadStatus
    progress: ProgressTarget | None = None
    """The pod to ask for progress from now on."""

    wake_at: datetime | None = None
    """When to look again if nothing changes; None: after the resync period."""

    waits_for: str | None = None
    """Name of the download that must end first."""


@dataclass(frozen=True, slots=True)
class CleanupPlan:
    """What to do about a deleted download; whether that is all; and when to look again."""

    actions: list[CreateJob | DeleteJob]
    finished: bool = False
    wake_at: datetime | None = None


def make_plan(observed: ObservedDownload, settings: OperatorSettings, now: datetime) -> DownloadPlan:
    """Decides. Raises nothing: a fault becomes part of the status."""
    download = observed.download
    if download.deleting:
        return DownloadPlan([], download.status)
    if download.status.phase and download.status.phase.finished:
        return _keep(download, settings, now)
    own = next((job for job in observed.jobs if owned_by(job, download.uid) and not is_deleting(job)), None)
    if own is not None:
        return _plan_with_job(observed, own, settings, now)
    return _plan_without_job(observed, settings, now)


def job_refused(download: ModelDownload, reason: str, message: str, now: datetime) -> DownloadPlan:
    """The plan to follow when the API server refuses the Job. It is tried again later."""
    refused = Cause(reason, f"the Job was refused: {message}", ended=False)
    return DownloadPlan([WriteStatus()], states.pending(download, refused, now, stalled=True))


def job_name_taken(download: ModelDownload, job: Object, now: datetime) -> DownloadPlan:
    """The plan to follow when somebody else's Job has the name of the Job. A new download gets another name."""
    name = job["metadata"]["name"]
    message = (
        f"there is a Job {name} that is not this download's: ask for the download again, and its Job gets another name"
    )
    return DownloadPlan([WriteStatus()], states.failed(download, Cause("JobNameTaken", message, ended=True), None, now))


def make_cleanup_plan(deleted: DeletedDownload, settings: OperatorSettings, now: datetime) -> CleanupPlan:
    """What to do about a deleted download: when nothing of it runs any more, its partial files are removed."""
    cleanup = next((job for job in deleted.jobs if job["metadata"]["name"] == cleanup_name(deleted.name)), None)
    if cleanup is not None:
        return CleanupPlan([*_delete([cleanup])] if _is_over(cleanup) else [], finished=_is_over(cleanup))
    if not deleted.has_staging or settings.downloads.image is None:
        return CleanupPlan([], finished=True)
    if deleted.jobs or not all(has_ended(pod) for pod in deleted.pods):
        return CleanupPlan([])
    due = deleted.gone_since + _CLEANUP_AFTER
    if due > now:
        return CleanupPlan([], wake_at=due)
    return CleanupPlan([CreateJob(make_cleanup_job(deleted.name, settings.downloads.image, settings))])


def _keep(download: ModelDownload, settings: OperatorSettings, now: datetime) -> DownloadPlan:
    """A finished download is kept for a while, so that its end can be read."""
    if settings.downloads.keep_seconds == 0 or download.status.finished_at is None:
        return DownloadPlan([], download.status)
    until = download.status.finished_at + timedelta(seconds=settings.downloads.keep_seconds)
    if until <= now:
        return DownloadPlan([DeleteResource(Preconditions(download.uid, download.resource_version))], download.status)
    return DownloadPlan([], download.status, wake_at=until)


def _plan_without_job(observed: ObservedDownload, settings: OperatorSettings, now: datetime) -> DownloadPlan:
    """There is no Job: create it, if nothing speaks against it."""
    download = observed.download
    image = settings.downloads.image
    if image is None:
        return DownloadPlan([WriteStatus()], states.pending(download, states.unavailable(), now, stalled=True))
    earlier = [*observed.jobs, *(pod for pod in observed.pods if not has_ended(pod))]
    if earlier:
        return _wait_for_earlier(download, observed.jobs, earlier, now)
    rival = next((other for other in observed.others if _goes_before(other, download)), None)
    if rival is not None:
        status = states.pending(download, states.waits_for(rival), now)
        return DownloadPlan([WriteStatus()], status, waits_for=rival.name)
    job = make_download_job(download, image, settings)
    status = states.pending(download, states.WAITING_FOR_POD, now, job=job["metadata"]["name"])
    return DownloadPlan([CreateJob(job), WriteStatus()], status, wake_at=now + _POD_CREATION)


def _wait_for_earlier(
    download: ModelDownload, jobs: list[Object], earlier: list[Object], now: datetime
) -> DownloadPlan:
    """Something of an earlier download of this name is left, and two must not write to one folder."""
    ended = [job for job in jobs if job["metadata"]["name"] == cleanup_name(download.name) and _is_over(job)]
    due = [(_stuck_at(item), item) for item in earlier if is_deleting(item)]
    stuck = next((item for moment, item in due if moment <= now), None)
    cause = states.waits_for_earlier(stuck or earlier[0], stuck is not None)
    status = states.pending(download, cause, now, stalled=stuck is not None)
    wake_at = min((moment for moment, _ in due if moment > now), default=None)
    return DownloadPlan([*_delete(ended), WriteStatus()], status, wake_at=wake_at)


def _stuck_at(item: Object) -> datetime:
    """When an object that is being deleted counts as stuck."""
    return datetime.fromisoformat(item["metadata"]["deletionTimestamp"]) + _STUCK_AFTER


def _plan_with_job(observed: ObservedDownload, job: Object, settings: OperatorSettings, now: datetime) -> DownloadPlan:
    """There is a Job: it has ended, waits, or runs."""
    download = observed.download
    pods = [pod for pod in observed.pods if owned_by(pod, job["metadata"]["uid"])]
    pod = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
    ended = terminated(pod) if pod else None
    report = DownloadReport.parse(ended.get("message") or "") if ended else None
    exit_code: int | None = ended["exitCode"] if ended else None
    grace = timedelta(seconds=settings.timing.unschedulable_grace)
    cause = pod_failure(pod, now, grace, _PROCESS) if pod else None
    if report and report.reason and report.message:
        cause = Cause(report.reason, report.message, ended=True)
    if exit_code == 0 or is_true(job, "Complete"):
        return DownloadPlan([WriteStatus()], states.succeeded(download, report, now))
    if exit_code in FINAL_EXITS or is_true(job, "Failed"):
        return DownloadPlan([WriteStatus()], states.failed(download, _final_cause(job, cause), report, now))
    if pod is None:
        return _plan_without_pod(download, job, now)
    if cause:
        why = states.tries_again(cause) if cause.ended else cause
        status = states.pending(download, why, now, stalled=not cause.ended, job=job["metadata"]["name"])
        return DownloadPlan([WriteStatus()], status)
    return _plan_with_pod(observed, job, pod, grace, now)


def _plan_with_pod(
    observed: ObservedDownload, job: Object, pod: Object, grace: timedelta, now: datetime
) -> DownloadPlan:
    """The Job's pod is well: it runs, or waits for a node or for its container."""
    name: str = job["metadata"]["name"]
    url = base_url(pod, CONTAINER) if is_running(pod) else None
    if url is None:
        no_node_since = unschedulable_since(pod)
        waiting = states.waits_for_container(pod) if has_node(pod) else states.WAITING_FOR_NODE
        wake_at = no_node_since + grace if no_node_since else None
        status = states.pending(observed.download, waiting, now, job=name)
        return DownloadPlan([WriteStatus()], status, wake_at=wake_at)
    target = ProgressTarget(pod["metadata"]["uid"], f"{url}/progress")
    progress = observed.progress if observed.progress and observed.progress.pod == target.pod else None
    return DownloadPlan([WriteStatus()], states.running(observed.download, name, progress, now), progress=target)


def _plan_without_pod(download: ModelDownload, job: Object, now: datetime) -> DownloadPlan:
    name: str = job["metadata"]["name"]
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if now - since >= _POD_CREATION:
        status = states.pending(download, states.no_pod(job), now, stalled=True, job=name)
        return DownloadPlan([WriteStatus()], status)
    waiting = states.pending(download, states.WAITING_FOR_POD, now, job=name)
    return DownloadPlan([WriteStatus()], waiting, wake_at=since + _POD_CREATION)


def _final_cause(job: Object, last_try: Cause | None) -> Cause:
    """Why a Job has failed: the cause of its last try, and how many tries there were."""
    failed = (condition(job, "Failed") or {}) if is_true(job, "Failed") else {}
    tries: int = status_of(job).get("failed") or 0
    if last_try is None:
        return Cause(failed.get("reason") or "JobFailed", failed.get("message") or "the Job has failed", ended=True)
    if failed.get("reason") == "BackoffLimitExceeded" and tries > 1:
        return Cause(last_try.reason, f"given up after {tries} tries; the last: {last_try.message}", ended=True)
    return last_try


def _goes_before(other: ModelDownload, download: ModelDownload) -> bool:
    """Whether the other download writes to the same folder, and comes first."""
    if other.uid == download.uid or other.deleting or (other.status.phase and other.status.phase.finished):
        return False
    mine, theirs = f"{download.destination}/", f"{other.destination}/"
    if not (mine.startswith(theirs) or theirs.startswith(mine)):
        return False

    # A download that has begun comes first. Of the others the oldest does.
    def order(of: ModelDownload) -> tuple[bool, datetime, str]:
        return of.status.job_name is None, of.created_at, of.name

    return order(other) < order(download)


def _is_over(job: Object) -> bool:
    return is_true(job, "Complete") or is_true(job, "Failed")


def _delete(jobs: list[Object]) -> list[DeleteJob]:
    return [DeleteJob(job["metadata"]["name"], job["metadata"]["uid"]) for job in jobs if not is_deleting(job)]
