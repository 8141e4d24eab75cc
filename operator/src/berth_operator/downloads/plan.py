"""What to do about one download: a pure function of what was observed.

The Job makes one pod after another until the download has ended; which of them runs, and how far it is, is read anew
each time. So a crash between any two writes loses nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from berth_api.download_report import FINAL_EXITS, DownloadReport
from berth_api.model_download import ModelDownload, ModelDownloadStatus
from berth_cluster.cluster import Object, Preconditions
from berth_operator.deployments.failure import PodFailure, pod_failure, unschedulable_since
from berth_operator.deployments.parts import (
    condition,
    container_statuses,
    holds,
    is_deleting,
    owned_by,
    ports_of,
    state_of,
    status_of,
)
from berth_operator.downloads import status as states
from berth_operator.downloads.progress import Progress
from berth_operator.resources import cleanup_name, make_cleanup_job, make_download_job
from berth_operator.resources.download_job import CONTAINER
from berth_operator.settings import OperatorSettings

_PROCESS = "download"
_POD_CREATION = timedelta(seconds=15)
"""A Job that has made no pod after this time cannot."""

_STUCK_AFTER = timedelta(seconds=60)
"""A pod that is still there so long after its grace is over: its node does not answer, and may never."""

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


def make_plan(observed: Observed, settings: OperatorSettings, now: datetime) -> Plan:
    """Decides. Raises nothing; what is wrong becomes part of the status."""
    download = observed.download
    if download.deleting:
        return Plan([], download.status)
    if download.status.phase and download.status.phase.finished:
        return _keep(download, settings, now)
    own = next((job for job in observed.jobs if owned_by(job, download.uid) and not is_deleting(job)), None)
    if own is not None:
        return _judge(observed, own, settings, now)
    return _begin(observed, settings, now)


def job_refused(download: ModelDownload, reason: str, message: str, now: datetime) -> Plan:
    """What follows when the API server does not let the Job be created. It is tried again in a while."""
    refused = PodFailure(reason, f"the Job was refused: {message}", ended=False)
    return Plan([WriteStatus()], states.pending(download, refused, now, stalled=True))


def job_name_taken(download: ModelDownload, job: Object, now: datetime) -> Plan:
    """What follows when somebody else's Job has the name. Who asks again gets a download whose Job has another one."""
    name = job["metadata"]["name"]
    message = (
        f"there is a Job {name} that is not this download's: ask for the download again, and its Job gets another name"
    )
    taken = PodFailure("JobNameTaken", message, ended=True)
    return Plan([WriteStatus()], states.failed(download, taken, None, now))


def make_cleanup_plan(remains: Remains, settings: OperatorSettings, now: datetime) -> CleanupPlan:
    """What to do once a download has been deleted: when nothing of it runs any more, its partial files are removed."""
    cleanup = next((job for job in remains.jobs if job["metadata"]["name"] == cleanup_name(remains.name)), None)
    if cleanup is not None:
        return CleanupPlan([*_delete([cleanup])] if _is_over(cleanup) else [], finished=_is_over(cleanup))
    if not remains.has_staging or settings.downloads.image is None:
        return CleanupPlan([], finished=True)
    if remains.jobs or not all(_has_ended(pod) for pod in remains.pods):
        return CleanupPlan([])
    due = remains.gone_since + _CLEANUP_AFTER
    if due > now:
        return CleanupPlan([], wake_at=due)
    return CleanupPlan([CreateJob(make_cleanup_job(remains.name, settings.downloads.image, settings))])


def _keep(download: ModelDownload, settings: OperatorSettings, now: datetime) -> Plan:
    """A finished download stays for a while, for those who ask."""
    if settings.downloads.keep_seconds == 0 or download.status.finished_at is None:
        return Plan([], download.status)
    until = download.status.finished_at + timedelta(seconds=settings.downloads.keep_seconds)
    if until <= now:
        return Plan([DeleteDownload(Preconditions(download.uid, download.resource_version))], download.status)
    return Plan([], download.status, wake_at=until)


def _begin(observed: Observed, settings: OperatorSettings, now: datetime) -> Plan:
    """There is no Job: make one, if there may be one."""
    download = observed.download
    image = settings.downloads.image
    if image is None:
        return Plan([WriteStatus()], states.pending(download, states.unavailable(), now, stalled=True))
    earlier = [*observed.jobs, *(pod for pod in observed.pods if not _has_ended(pod))]
    if earlier:
        return _wait_for_earlier(download, observed.jobs, earlier, now)
    rival = next((other for other in observed.others if _goes_before(other, download)), None)
    if rival is not None:
        return Plan([WriteStatus()], states.pending(download, states.waits_for(rival), now), waits_for=rival.name)
    job = make_download_job(download, image, settings)
    status = states.pending(download, states.WAITING_FOR_POD, now, job=job["metadata"]["name"])
    return Plan([CreateJob(job), WriteStatus()], status, wake_at=now + _POD_CREATION)


def _wait_for_earlier(download: ModelDownload, jobs: list[Object], earlier: list[Object], now: datetime) -> Plan:
    """Something is left of an earlier download of this name, and two must not write to one place."""
    ended = [job for job in jobs if job["metadata"]["name"] == cleanup_name(download.name) and _is_over(job)]
    due = [(_stuck_at(item), item) for item in earlier if is_deleting(item)]
    stuck = next((item for moment, item in due if moment <= now), None)
    waiting = states.pending(
        download, states.waits_for_earlier(stuck or earlier[0], stuck is not None), now, stalled=stuck is not None
    )
    wake_at = min((moment for moment, _ in due if moment > now), default=None)
    return Plan([*_delete(ended), WriteStatus()], waiting, wake_at=wake_at)


def _stuck_at(item: Object) -> datetime:
    """When something that is being deleted should long have gone."""
    return datetime.fromisoformat(item["metadata"]["deletionTimestamp"]) + _STUCK_AFTER


def _judge(observed: Observed, job: Object, settings: OperatorSettings, now: datetime) -> Plan:
    """There is a Job: it waits, runs, or has ended."""
    download = observed.download
    name: str = job["metadata"]["name"]
    pods = [pod for pod in observed.pods if owned_by(pod, job["metadata"]["uid"])]
    pod = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
    ended = _terminated(pod) if pod else None
    report = DownloadReport.parse(ended.get("message") or "") if ended else None
    grace = timedelta(seconds=settings.timing.unschedulable_grace)
    failure = pod_failure(pod, now, grace, _PROCESS) if pod else None
    if (ended and ended["exitCode"] == 0) or holds(job, "Complete"):
        return Plan([WriteStatus()], states.succeeded(download, report, now))
    if report and report.reason and report.message:
        failure = PodFailure(report.reason, report.message, ended=True)
    if (ended and ended["exitCode"] in FINAL_EXITS) or holds(job, "Failed"):
        return Plan([WriteStatus()], states.failed(download, _final(job, failure), report, now))
    if pod is None:
        return _without_pod(download, job, now)
    if failure:
        why = states.tries_again(failure) if failure.ended else failure
        return Plan([WriteStatus()], states.pending(download, why, now, stalled=not failure.ended, job=name))
    url = _progress_url(pod)
    if url is None:
        nowhere_since = unschedulable_since(pod)
        waiting = states.waits_for_container(pod) if pod["spec"].get("nodeName") else states.WAITING_FOR_NODE
        wake_at = nowhere_since + grace if nowhere_since else None
        return Plan([WriteStatus()], states.pending(download, waiting, now, job=name), wake_at=wake_at)
    uid = pod["metadata"]["uid"]
    progress = observed.progress if observed.progress and observed.progress.pod == uid else None
    return Plan([WriteStatus()], states.running(download, name, progress, now), progress_url=url, pod=uid)


def _without_pod(download: ModelDownload, job: Object, now: datetime) -> Plan:
    name: str = job["metadata"]["name"]
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if now - since >= _POD_CREATION:
        return Plan([WriteStatus()], states.pending(download, states.no_pod(job), now, stalled=True, job=name))
    waiting = states.pending(download, states.WAITING_FOR_POD, now, job=name)
    return Plan([WriteStatus()], waiting, wake_at=since + _POD_CREATION)


def _final(job: Object, failure: PodFailure | None) -> PodFailure:
    """The reason of a Job that is over: what the last try said, and how many there were."""
    told = (condition(job, "Failed") or {}) if holds(job, "Failed") else {}
    tries: int = status_of(job).get("failed") or 0
    if failure is None:
        return PodFailure(told.get("reason") or "JobFailed", told.get("message") or "the Job has failed", ended=True)
    if told.get("reason") == "BackoffLimitExceeded" and tries > 1:
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
    address: str | None = status_of(pod).get("podIP")
    ports = ports_of(pod, CONTAINER)
    if not address or not ports or not any("running" in state_of(container) for container in container_statuses(pod)):
        return None
    return f"http://{f'[{address}]' if ':' in address else address}:{ports[0]}/progress"


def _terminated(pod: Object) -> dict[str, Any] | None:
    """How the download's container ended; None where it did not, or nobody knows."""
    states_of_containers = [state_of(container) for container in container_statuses(pod)]
    return next((state["terminated"] for state in states_of_containers if "terminated" in state), None)


def _has_ended(pod: Object) -> bool:
    return status_of(pod).get("phase") in ("Succeeded", "Failed")


def _is_over(job: Object) -> bool:
    return holds(job, "Complete") or holds(job, "Failed")


def _delete(jobs: list[Object]) -> list[DeleteJob]:
    return [DeleteJob(job["metadata"]["name"], job["metadata"]["uid"]) for job in jobs if not is_deleting(job)]
