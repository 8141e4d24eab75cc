"""Observe, plan, apply: for one download at a time, by one worker each, however often it is woken.

Between two rounds the reconciler remembers only what running downloads report, and which deleted downloads may have
left files.
"""

import asyncio
from collections import defaultdict
from datetime import datetime

import structlog

from berth_api.model_download import DownloadPhase, ModelDownload
from berth_cluster.cluster import (
    JOBS,
    LABEL_DOWNLOAD,
    MODEL_DOWNLOADS,
    PODS,
    AlreadyExistsError,
    Cluster,
    ForbiddenError,
    InvalidError,
    Object,
)
from berth_operator.downloads.metrics import DownloadMetrics
from berth_operator.downloads.plan import (
    CreateJob,
    DeletedDownload,
    DeleteJob,
    DownloadPlan,
    ObservedDownload,
    job_name_taken,
    job_refused,
    make_cleanup_plan,
    make_plan,
)
from berth_operator.downloads.progress import ProgressWatch, ReportReader
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_operator.reconciling.reading import NOT_UNDERSTOOD, ObjectReader, Unreadable
from berth_operator.reconciling.workers import Workers, seconds_until
from berth_operator.reconciling.writer import DeleteResource, NameTaken, Refused, ResourceWriter, WriteStatus
from berth_operator.resources import make_download_event
from berth_operator.settings import OperatorSettings
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)


class DownloadReconciler:
    """Keeps every download as it should be. Others call `wake`, and `close` at the end."""

    def __init__(
        self,
        cluster: Cluster,
        reader: ReportReader,
        settings: OperatorSettings,
        metrics: DownloadMetrics | None = None,
        clock: Clock = utc_now,
        rounds: ReconcileMetrics | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._metrics = metrics or DownloadMetrics()
        self._clock = clock
        self._downloads = ObjectReader("download", ModelDownload.parse)
        self._workers = Workers("download", self._reconcile, self._forget, rounds)
        self._writer = ResourceWriter(cluster, MODEL_DOWNLOADS, self._workers)
        self._progress = ProgressWatch(reader, self._workers.wake)
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)
        """The downloads that wait for another one to end, by the other one's name."""
        self._has_staging: set[str] = set()
        self._gone_since: dict[str, datetime] = {}

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the download reconciled, because something of it may have changed. `seen`: as for `Workers.wake`."""
        self._workers.wake(name, seen)

    async def close(self) -> None:
        """Cancels all work, wherever it is. The next operator goes on from what the cluster has."""
        await self._workers.close()
        await self._progress.close()

    async def _reconcile(self, name: str) -> float | None:
        """One round. Seconds until the next one is due; None where nothing of the download is left."""
        downloads, listed_jobs, listed_pods = await asyncio.gather(
            self._cluster.list(MODEL_DOWNLOADS),
            self._cluster.list(JOBS, {LABEL_DOWNLOAD: name}),
            self._cluster.list(PODS, {LABEL_DOWNLOAD: name}),
        )
        jobs, pods = list(listed_jobs.items), list(listed_pods.items)
        own = [item for item in downloads.items if item["metadata"]["name"] == name]
        self._workers.read(name, [*own, *jobs, *pods])
        parsed = self._downloads.read_all(downloads.items)
        self._metrics.seen(parsed)
        download = next((download for download in parsed if download.name == name), None)
        if download is None and own:
            return await self._report_unreadable(name, own[0])
        if download is None:
            return await self._clean_up(name, jobs, pods)
        self._gone_since.pop(name, None)
        self._note_staging(download)
        observed = ObservedDownload(download, jobs, pods, self._progress.last(name), parsed)
        plan = make_plan(observed, self._settings, self._clock())
        await self._apply(plan, download)
        self._progress.ask(name, plan.progress)
        if plan.waits_for:
            self._waiting[plan.waits_for].add(name)
        return self._seconds_until(plan.wake_at)

    async def _clean_up(self, name: str, jobs: list[Object], pods: list[Object]) -> float | None:
        """One round for a download that has been deleted."""
        now = self._clock()
        self._progress.forget(name)
        self._wake_waiting_for(name)
        has_staging, gone_since = name in self._has_staging, self._gone_since.setdefault(name, now)
        plan = make_cleanup_plan(DeletedDownload(name, jobs, pods, has_staging, gone_since), self._settings, now)
        for action in plan.actions:
            match action:
                case CreateJob(manifest):
                    await self._create_cleanup_job(name, manifest)
                case DeleteJob(job, uid):
                    await self._writer.delete(JOBS, job, uid)
        return None if plan.finished else self._seconds_until(plan.wake_at)

    async def _create_cleanup_job(self, name: str, job: Object) -> None:
        """Creates the Job that removes partial files. Where that is refused, a later download removes them."""
        try:
            await self._workers.write(name, self._cluster.create(JOBS, job))
        except AlreadyExistsError:
            _log.info("clean_up_under_way", download=name)
        except (ForbiddenError, InvalidError) as error:
            _log.warning("partial_files_left", download=name, error=str(error))
        self._has_staging.discard(name)

    def _note_staging(self, download: ModelDownload) -> None:
        """Notes whether the download has partial files now: when it is deleted, its status is gone."""
        if download.status.phase is DownloadPhase.SUCCEEDED:
            self._has_staging.discard(download.name)
        elif download.status.job_name:
            self._has_staging.add(download.name)

    async def _apply(self, plan: DownloadPlan, download: ModelDownload) -> None:
        for action in plan.actions:
            match action:
                case CreateJob(manifest):
                    instead = await self._create_job(manifest, download)
                    if instead:
                        await self._apply(instead, download)
                        return
                case DeleteJob(name, uid):
                    await self._writer.delete(JOBS, name, uid)
                case WriteStatus():
                    await self._write_status(plan, download)
                case DeleteResource():
                    _log.info("deleting_finished_download", download=download.name)
                    await self._writer.delete_resource(download.name, action)

    async def _create_job(self, manifest: Object, download: ModelDownload) -> DownloadPlan | None:
        """Creates the Job. The plan to follow instead where it cannot be created; None where it exists now."""
        match await self._writer.create(JOBS, manifest, download):
            case None:
                return None
            case NameTaken():
                _log.warning("job_name_taken", download=download.name, job=manifest["metadata"]["name"])
                return job_name_taken(download, manifest, self._clock())
            case Refused(message):
                return job_refused(download, "JobRefused", message, self._clock())

    async def _report_unreadable(self, name: str, manifest: Object) -> float:
        """One round for a download that cannot be understood."""
        self._progress.forget(name)
        why = self._downloads.read(manifest)
        if not isinstance(why, Unreadable):
            return 0.0
        fields = {
            "phase": DownloadPhase.PENDING.value,
            "reason": NOT_UNDERSTOOD,
            "message": f"this version of Berth cannot read it: {why}",
        }
        await self._writer.report_unreadable(manifest, why, fields, self._clock())
        return self._settings.timing.resync

    async def _write_status(self, plan: DownloadPlan, download: ModelDownload) -> None:
        if not await self._writer.write_status(download, plan.status):
            return
        self._metrics.written(download.status, plan.status)
        event = make_download_event(download, plan.status, self._clock())
        if event:
            _log.info(
                event["reason"], download=download.name, repository=download.spec.repository, message=event["message"]
            )
            await self._writer.publish(event)
        if plan.status.phase and plan.status.phase.finished:
            self._wake_waiting_for(download.name)

    def _wake_waiting_for(self, name: str) -> None:
        """Wakes the downloads that wait for this one to end."""
        for waiting in self._waiting.pop(name, set()):
            self.wake(waiting)

    def _seconds_until(self, wake_at: datetime | None) -> float:
        return seconds_until(wake_at, self._clock(), self._settings.timing.resync)

    def _forget(self, name: str) -> None:
        self._progress.forget(name)
        self._has_staging.discard(name)
        self._gone_since.pop(name, None)
