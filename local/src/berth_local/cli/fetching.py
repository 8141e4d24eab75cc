"""Models that are being fetched: which there are, how far they are, and waiting for them."""

import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from berth_local.cli.connection import store_of
from berth_local.cli.errors import CommandError, FailedError, NoServerError, NotNowError, UnknownNameError
from berth_local.cli.printing import model_name
from berth_local.cli.progress import DownloadProgress, described

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_POLL_SECONDS = 0.5
SUCCEEDED = "Succeeded"
FAILED = "Failed"


class BeingFetchedError(NotNowError):
    """The model is being fetched, and can be used when that has ended. `job`: the download as the API describes it."""

    def __init__(self, job: dict[str, Any], *, one_machine: bool) -> None:
        super().__init__(f"{fetched_words(job, one_machine=one_machine)}; ask again when it is there")
        self.job = job


def fetched_words(job: dict[str, Any], *, one_machine: bool) -> str:
    """Which model it is, and how far: tiny is being fetched: 312 MB of 4.7 GB, 50 s left."""
    return f"{model_name(job['destination'])} is being fetched: {described(job, one_machine)}"


def fetched_now(client: "Client") -> list[dict[str, Any]]:
    """The downloads that have not ended. Empty where the server tells this user of none."""
    try:
        jobs: list[dict[str, Any]] = client.get("/v1/models/download")["downloads"]
    except CommandError:
        return []
    return [job for job in jobs if job["phase"] not in (SUCCEEDED, FAILED)]


def followed(client: "Client", job: dict[str, Any], *, begins: bool = True) -> dict[str, Any]:
    """Waits until the download has ended, and shows how far it is. The download as the API describes it.

    `begins`: False if something speaks against it. Raises FailedError where somebody cancels it, and NoServerError
    where its server ends.
    """
    path, model = f"/v1/models/download/{quote(job['job_id'], safe='')}", model_name(job["destination"])
    progress = DownloadProgress(sys.stderr, store_of(client) is not None, begins=begins)
    try:
        with _Interruption() as interruption, progress:
            while True:
                now: dict[str, Any] = client.get(path)
                progress.show(now)
                if now["phase"] in (SUCCEEDED, FAILED):
                    return now
                time.sleep(_POLL_SECONDS)
                if interruption.came:
                    raise KeyboardInterrupt
    except UnknownNameError:
        raise FailedError(f"{model} was not fetched: the download was cancelled") from None
    except NoServerError:
        raise NoServerError(
            f"{model} was not fetched: the server has ended; the same `berth pull` goes on from there"
        ) from None


class _Interruption:
    """Remembers Ctrl-C. Python drops a KeyboardInterrupt inside a finalizer; then the loop must stop by itself."""

    def __init__(self) -> None:
        self.came = False
        self._before: Any = None

    def __enter__(self) -> Self:
        with suppress(ValueError):  # only a main thread hears signals
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self.came = True
        raise KeyboardInterrupt
