"""One download, from a request to a directory in the model store: list, select, reserve, fetch, publish."""

import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from berth_api.download_report import DownloadStep
from berth_hub.errors import DestinationTakenError, RevisionNotFoundError, StoreError
from berth_hub.fetching import CommitSource, Fetcher
from berth_hub.listing import list_repository
from berth_hub.progress import ProgressTracker
from berth_hub.publishing import check_destination, manifest, publish
from berth_hub.reservations import HEARTBEAT_SECONDS, full, keep_alive, reserve, sweep
from berth_hub.retrying import RetryPolicy, with_retries
from berth_hub.selection import Selection, select
from berth_hub.staging import FetchPlan, Staging
from berth_process.sizes import readable

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What to download, and where to put it below the store."""

    repository: str
    revision: str
    destination: str
    selection: Selection

    def stated(self) -> dict[str, Any]:
        """The request as JSON."""
        selection = {
            **asdict(self.selection),
            "include": [*self.selection.include],
            "exclude": [*self.selection.exclude],
        }
        return {**asdict(self), "selection": selection}


@dataclass(frozen=True, slots=True)
class HubAccess:
    """The address of the hub, and the token for it."""

    endpoint: str
    token: str | None


class DownloadAttempt:
    """One attempt at a download. It goes on where an earlier attempt ended."""

    def __init__(
        self,
        request: Request,
        source: HubAccess,
        store: Path,
        kept_free: int,
        progress: ProgressTracker,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self._request = request
        self._source = source
        self._store = store
        self._kept_free = kept_free
        """Bytes of the store that must stay free."""
        self._progress = progress
        self._retry_policy = retry_policy or RetryPolicy()

    def run(self, name: str) -> None:
        """Runs under this name, which later attempts must have too.

        Raises a DownloadError. A permanent one leaves nothing behind.
        """
        staging = Staging.open(self._store, name)
        try:
            self._run(staging)
        except Exception as error:
            mapped = self._mapped(error)
            if getattr(mapped, "permanent", False):
                staging.remove()
            else:
                staging.close()
            raise mapped from error
        staging.remove()

    def _run(self, staging: Staging) -> None:
        sweep(self._store, time.time(), lambda left: _log.info("deleted what an old download left", download=left))
        plan = staging.plan(self._request.stated()) or self._plan(staging)
        try:
            self._carry_out(plan, staging)
        except RevisionNotFoundError:
            # The commit, or a file in it, is gone: somebody rewrote the repository's history. Take what the revision
            # stands for now.
            _log.warning("the commit is gone from the repository: starting over", commit=plan.commit)
            staging.clear()
            self._carry_out(self._plan(staging), staging)

    def _plan(self, staging: Staging) -> FetchPlan:
        self._progress.enter(DownloadStep.LISTING)
        request = self._request
        repository = with_retries(
            lambda: list_repository(request.repository, request.revision, self._source.endpoint, self._source.token),
            self._retry_policy,
            time.sleep,
            lambda error, wait: self._progress.say(error.reason, f"{error}; tried again in {wait:.0f} s"),
        )
        plan = FetchPlan(request.stated(), repository.commit, tuple(select(repository.files, request.selection)))
        staging.keep(plan)
        return plan

    def _carry_out(self, plan: FetchPlan, staging: Staging) -> None:
        request = self._request
        self._progress.plan(plan.commit, plan.size, len(plan.files), staging.fetched)
        if check_destination(self._store, request.destination, request.repository, plan.files):
            self._finish(plan, f"{request.destination} was there already, complete")
            return
        reserve(self._store, staging, plan.size, self._kept_free, time.time())
        _log.info(
            "downloading", repository=request.repository, commit=plan.commit, files=len(plan.files), bytes=plan.size
        )
        self._progress.enter(DownloadStep.DOWNLOADING)
        with _Heartbeat(staging, plan.size):
            hub = CommitSource(self._source.endpoint, self._source.token, request.repository, plan.commit)
            Fetcher(hub, staging, self._progress, self._retry_policy).fetch(list(plan.files))
        self._progress.enter(DownloadStep.PUBLISHING)
        self._delete_unplanned(plan, staging)
        content = manifest(request.repository, request.revision, plan.commit, plan.files)
        if not publish(self._store, request.destination, staging.model, content) and not check_destination(
            self._store, request.destination, request.repository, plan.files
        ):
            raise DestinationTakenError(f"destination {request.destination} was taken meanwhile: choose another")
        what = f"{request.repository}@{plan.commit[:12]}"
        self._finish(plan, f"{what} is in {request.destination}: {len(plan.files)} files, {readable(plan.size)}")

    def _finish(self, plan: FetchPlan, message: str) -> None:
        for file in plan.files:
            self._progress.present(file.path, file.size)
        self._progress.complete(message)

    def _delete_unplanned(self, plan: FetchPlan, staging: Staging) -> None:
        """Deletes files that are not in the plan: a killed attempt may have left them."""
        planned = {staging.whole(file) for file in plan.files}
        for path in staging.model.rglob("*"):
            if path.is_file() and path not in planned:
                path.unlink()

    def _mapped(self, error: Exception) -> Exception:
        if isinstance(error, OSError):
            return full(self._store, error) or StoreError(
                f"the model store {self._store} cannot be used: {error.strerror or error}"
            )
        cause = error.__cause__
        if isinstance(error, StoreError) and isinstance(cause, OSError):
            return full(self._store, cause) or error
        return error


class _Heartbeat:
    """Keeps the reservation alive while its block runs."""

    def __init__(self, staging: Staging, size: int) -> None:
        self._staging = staging
        self._size = size
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                keep_alive(self._staging, self._size, time.time())
            except OSError as error:  # the transfer fails in the same way, and reports it
                _log.warning("the reservation could not be renewed", error=error.strerror)
