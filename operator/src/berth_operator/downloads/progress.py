"""How far a running download is, as its pod reports it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from berth_api.download_report import REPORT_BYTES, DownloadReport
from berth_operator.downloads.reported_progress import ProgressTarget, ReportedProgress

if TYPE_CHECKING:
    import aiohttp

_log = structlog.get_logger(__name__)

_SECONDS, _CONNECT_SECONDS = 2, 1
"""For a whole answer, and for a connection."""

_ASK_SECONDS = 1.0
"""Between two questions for progress, and so between two writes of it."""

_FIRST_ANSWER_SECONDS = 0.2
"""Between two questions to a download that has not answered yet."""

_SPEED_SECONDS = 10.0
"""The speed is the average over this time: long enough to be steady, short enough to be up to date."""


class Speedometer:
    """Measures the speed over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, fetched: int) -> int | None:
        """Bytes a second up to now; None for the first sample, and where less was fetched than before.

        `seconds`: the moment of the sample, on any steady clock. `fetched`: all bytes that were fetched until then.
        """
        if self._samples and fetched < self._samples[-1][1]:
            self._samples.clear()  # another process has begun to count
        self._samples.append((seconds, fetched))
        while len(self._samples) > 2 and seconds - self._samples[1][0] >= _SPEED_SECONDS:
            self._samples.popleft()
        first_seconds, first_fetched = self._samples[0]
        return round((fetched - first_fetched) / (seconds - first_seconds)) if seconds > first_seconds else None


class ReportReader(Protocol):
    """Asks a download for its progress."""

    async def read(self, url: str) -> DownloadReport | None:
        """What the download reports now; None where no report comes, or none that can be understood."""
        ...


class ProgressReader:
    """Asks downloads over HTTP. Use as an async context."""

    def __init__(self) -> None:
        self._open = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ProgressReader":
        """To be called on the event loop that asks."""
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        if self._session:
            await self._session.close()

    async def read(self, url: str) -> DownloadReport | None:
        """Asks with one GET."""
        import aiohttp  # noqa: PLC0415 (see _http)

        try:
            async with self._http().get(url, allow_redirects=False) as response:
                text = await response.content.read(REPORT_BYTES + 1)
                return DownloadReport.parse(text) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _http(self) -> "aiohttp.ClientSession":
        # It takes up to a third of a second to load, and most servers of one machine fetch nothing.
        import aiohttp  # noqa: PLC0415

        if not self._open:
            raise RuntimeError("ProgressReader is used outside of its context")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_SECONDS, connect=_CONNECT_SECONDS),
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=1),
            )
        return self._session


class ProgressWatch:
    """Keeps the progress of each running download, and wakes the download when it changes."""

    def __init__(self, reader: ReportReader, wake: Callable[[str], None]) -> None:
        self._reader = reader
        self._wake = wake
        self._progress: dict[str, ReportedProgress] = {}
        self._asking: dict[str, tuple[ProgressTarget, asyncio.Task[None]]] = {}

    def last(self, name: str) -> ReportedProgress | None:
        """What this download last reported; None where it has reported nothing."""
        return self._progress.get(name)

    def ask(self, name: str, target: ProgressTarget | None) -> None:
        """From now on, asks this pod of the download, and no other one."""
        before, _ = self._asking.get(name, (None, None))
        if (before and before.pod) == (target and target.pod):
            return
        self.forget(name)
        if target:
            task = asyncio.create_task(self._keep_asking(name, target), name=f"progress {name}")
            self._asking[name] = (target, task)

    def forget(self, name: str) -> None:
        """Asks no pod of this download any more."""
        self._progress.pop(name, None)
        _, task = self._asking.pop(name, (None, None))
        if task:
            task.cancel()

    async def close(self) -> None:
        """Ends all questions."""
        tasks = [task for _, task in self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, name: str, target: ProgressTarget) -> None:
        speedometer = Speedometer()
        while True:
            try:
                report = await self._reader.read(target.url)
            except Exception:  # noqa: BLE001 (a fault here must not end the questions)
                _log.exception("download_not_asked", url=target.url)
                report = None
            if report:
                speed = speedometer.add(time.monotonic(), report.bytes_fetched or 0)
                progress = ReportedProgress(target.pod, report, speed)
                if progress != self._progress.get(name):
                    self._progress[name] = progress
                    self._wake(name)
            await asyncio.sleep(_ASK_SECONDS if name in self._progress else _FIRST_ANSWER_SECONDS)
