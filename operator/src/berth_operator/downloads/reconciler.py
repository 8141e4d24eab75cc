"""Observe, plan, apply: for one download at a time, by one worker each, however often it is woken.

What is remembered between two rounds is only what running downloads say of themselves, and which deleted ones may have
left files.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from berth_api.model_download import DownloadPhase, ModelDownload
from berth_cluster.cluster import (
    EVENTS,
    JOBS,
    LABEL_DOWNLOAD,
    MODEL_DOWNLOADS,
    PODS,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_operator.deployments.parts import owned_by
from berth_operator.deployments.reading import REASON, Reader, Unreadable, told_as_unreadable
from berth_operator.downloads.metrics import DownloadMetrics
from berth_operator.downloads.plan import (
    CreateJob,
    DeleteDownload,
    DeleteJob,
    Observed,
    Plan,
    Remains,
    WriteStatus,
    job_name_taken,
    job_refused,
    make_cleanup_plan,
    make_plan,
)
from berth_operator.downloads.progress import Progress, ReportReader, Speedometer
from berth_operator.resources import make_download_event
from berth_operator.settings import OperatorSettings
from berth_operator.status_patch import status_patch
from berth_operator.workers import Workers

_log = structlog.get_logger(__name__)

_ASK_SECONDS = 1.0
"""Between two questions for progress, and so between two writes of it."""

_FIRST_ANSWER_SECONDS = 0.2
"""Between two questions to a download that has not answered yet."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DownloadReconciler:
    """Keeps every download as it should be. `wake` is all that others call."""

    def __init__(
        self,
        cluster: Cluster,
        reader: ReportReader,
        settings: OperatorSettings,
        metrics: DownloadMetrics | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._settings = settings
        self._metrics = metrics or DownloadMetrics()
        self._clock = clock
        self._downloads = Reader("download", ModelDownload.parse)
        self._workers = Workers("download", self._reconcile, self._forget)
        self._progress: dict[str, Progress] = {}
        self._asking: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)
        self._has_staging: set[str] = set()
        self._gone_since: dict[str, datetime] = {}

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Something about this download may have changed: look at it, now or right after the present look.

        `seen`: the object whose change was seen, so that what was written here is told from what others do.
        """
        self._workers.wake(name, seen)

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        await self._workers.close()
        tasks = [task for _, task in self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reconcile(self, name: str) -> float | None:
        """One round. Seconds until the next is due; None where nothing of the download is left."""
        downloads, jobs, pods = await asyncio.gather(
            self._cluster.list(MODEL_DOWNLOADS),
            self._cluster.list(JOBS, {LABEL_DOWNLOAD: name}),
            self._cluster.list(PODS, {LABEL_DOWNLOAD: name}),
        )
        own = [item for item in downloads.items if item["metadata"]["name"] == name]
        self._workers.read(name, [*own, *jobs.items, *pods.items])
        parsed = self._downloads.read_all(downloads.items)
        self._metrics.seen(parsed)
        download = next((download for download in parsed if download.name == name), None)
        if download is None and own:
            return await self._tell_unreadable(name, own[0])
        if download is None:
            return await self._clean_up(name, jobs.items, pods.items)
        self._gone_since.pop(name, None)
        self._note_staging(download)
        observed = Observed(download, jobs.items, pods.items, self._progress.get(name), parsed)
        plan = make_plan(observed, self._settings, self._clock())
        await self._apply(plan, download)
        self._ask(name, plan)
        if plan.waits_for:
            self._waiting[plan.waits_for].add(name)
        return self._seconds_until(plan.wake_at)

    async def _clean_up(self, name: str, jobs: list[Object], pods: list[Object]) -> float | None:
        """One round for a download that has been deleted."""
        now = self._clock()
        self._stop_asking(name)
        self._wake_those_waiting_for(name)
        remains = Remains(name, jobs, pods, name in self._has_staging, self._gone_since.setdefault(name, now))
        plan = make_cleanup_plan(remains, self._settings, now)
        for action in plan.actions:
            match action:
                case CreateJob(manifest):
                    await self._try_to_clean_up(name, manifest)
                case DeleteJob(job, uid):
                    await self._delete_job(job, uid)
        return None if plan.finished else self._seconds_until(plan.wake_at)

    async def _try_to_clean_up(self, name: str, job: Object) -> None:
        """Makes the Job that removes partial files; where that is not allowed, a later download sweeps them away."""
        try:
            await self._workers.write(name, self._cluster.create(JOBS, job))
        except AlreadyExistsError:
            _log.info("clean_up_under_way", download=name)
        except (ForbiddenError, InvalidError) as error:
            _log.warning("partial_files_left", download=name, error=str(error))
        self._has_staging.discard(name)

    def _note_staging(self, download: ModelDownload) -> None:
        """What a download without success has left is known only as long as it is there to be asked."""
        if download.status.phase is DownloadPhase.SUCCEEDED:
            self._has_staging.discard(download.name)
        elif download.status.job_name:
            self._has_staging.add(download.name)

    def _seconds_until(self, wake_at: datetime | None) -> float:
        resync = self._settings.timing.resync
        return resync if wake_at is None else max(0.0, min((wake_at - self._clock()).total_seconds(), resync))

    async def _apply(self, plan: Plan, download: ModelDownload) -> None:
        for action in plan.actions:
            match action:
                case CreateJob(manifest):
                    refused = await self._create_job(manifest, download)
                    if refused:
                        await self._apply(refused, download)
                        return
                case DeleteJob(name, uid):
                    await self._delete_job(name, uid)
                case WriteStatus():
                    await self._write_status(plan, download)
                case DeleteDownload(preconditions):
                    _log.info("deleting_finished_download", download=download.name)
                    await self._cluster.delete(MODEL_DOWNLOADS, download.name, preconditions)

    async def _create_job(self, manifest: Object, download: ModelDownload) -> Plan | None:
        """Creates the Job; what follows where it cannot be."""
        name: str = manifest["metadata"]["name"]
        try:
            await self._workers.write(download.name, self._cluster.create(JOBS, manifest))
        except AlreadyExistsError as error:
            try:
                found = await self._cluster.get(JOBS, name)
            except NotFoundError:
                raise ConflictError(f"the Job {name} has gone since") from error
            if owned_by(found, download.uid):
                return None  # made by a round that did not live to see it
            _log.warning("job_name_taken", download=download.name, job=name)
            return job_name_taken(download, manifest, self._clock())
        except (ForbiddenError, InvalidError) as error:
            return job_refused(download, "JobRefused", str(error), self._clock())
        return None

    async def _tell_unreadable(self, name: str, manifest: Object) -> float:
        """One round for a download that cannot be understood."""
        self._stop_asking(name)
        why = self._downloads.read(manifest)
        if not isinstance(why, Unreadable):
            return 0.0
        told = {
            "phase": DownloadPhase.PENDING.value,
            "reason": REASON,
            "message": f"this version of Berth cannot read it: {why}",
        }
        patch = told_as_unreadable(manifest, why, told, self._clock())
        if patch:
            as_read = Preconditions(manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"])
            with suppress(InvalidError):  # nor does the API server understand it; the log has told of it
                await self._workers.write(name, self._cluster.patch_status(MODEL_DOWNLOADS, name, patch, as_read))
        return self._settings.timing.resync

    async def _delete_job(self, name: str, uid: str) -> None:
        with suppress(NotFoundError, ConflictError):  # gone, or replaced by one of another uid
            await self._cluster.delete(JOBS, name, Preconditions(uid))

    async def _write_status(self, plan: Plan, download: ModelDownload) -> None:
        patch = status_patch(download.status, plan.status)
        if not patch:
            return
        as_read = Preconditions(download.uid, download.resource_version)
        write = self._cluster.patch_status(MODEL_DOWNLOADS, download.name, patch, as_read)
        await self._workers.write(download.name, write)
        self._metrics.written(download.status, plan.status)
        event = make_download_event(download, plan.status, self._clock())
        if event:
            _log.info(
                event["reason"], download=download.name, repository=download.spec.repository, message=event["message"]
            )
            await self._tell(event)
        if plan.status.phase and plan.status.phase.finished:
            self._wake_those_waiting_for(download.name)

    async def _tell(self, event: Object) -> None:
        """Writes an event. It is for people alone: nothing depends on it, so its failure is only logged."""
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            _log.warning("event_not_written", reason=event["reason"], error=str(error))

    def _wake_those_waiting_for(self, name: str) -> None:
        for waiting in self._waiting.pop(name, set()):
            self.wake(waiting)

    def _ask(self, name: str, plan: Plan) -> None:
        """Has the pod asked that the plan wants asked, and no other."""
        pod, _ = self._asking.get(name, (None, None))
        if pod == plan.pod:
            return
        self._stop_asking(name)
        if plan.progress_url and plan.pod:
            task = asyncio.create_task(self._keep_asking(name, plan.progress_url, plan.pod), name=f"progress {name}")
            self._asking[name] = (plan.pod, task)

    async def _keep_asking(self, name: str, url: str, pod: str) -> None:
        speedometer = Speedometer()
        while True:
            try:
                report = await self._reader.read(url)
            except Exception:  # noqa: BLE001 (a fault here must not leave the download unheard)
                _log.exception("download_not_asked", url=url)
                report = None
            if report:
                speed = speedometer.add(time.monotonic(), report.bytes_fetched or 0)
                progress = Progress(pod, report, speed)
                if progress != self._progress.get(name):
                    self._progress[name] = progress
                    self.wake(name)
            await asyncio.sleep(_ASK_SECONDS if name in self._progress else _FIRST_ANSWER_SECONDS)

    def _stop_asking(self, name: str) -> None:
        self._progress.pop(name, None)
        _, task = self._asking.pop(name, (None, None))
        if task:
            task.cancel()

    def _forget(self, name: str) -> None:
        self._stop_asking(name)
        self._has_staging.discard(name)
        self._gone_since.pop(name, None)
