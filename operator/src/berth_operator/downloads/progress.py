"""How far a running download is: asked of the download itself."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from berth_api.download_report import REPORT_BYTES, DownloadReport

_TIMEOUT = aiohttp.ClientTimeout(total=2, connect=1)
_SPEED_SECONDS = 10.0
"""Speed is that over this time: long enough to be calm, short enough to be true."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running download last said, and how fast it is."""

    pod: str
    """uid of the pod that said it."""

    report: DownloadReport
    bytes_per_second: int | None
    """None until two reports are there to tell it from."""

    @property
    def eta_seconds(self) -> int | None:
        """Seconds that it still takes at this speed; None where that cannot be told."""
        if self.report.bytes_total is None or self.report.bytes_done is None or not self.bytes_per_second:
            return None
        return round(max(0, self.report.bytes_total - self.report.bytes_done) / self.bytes_per_second)


class Speedometer:
    """Tells the speed over the last seconds from what was fetched when."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, fetched: int) -> int | None:
        """Bytes a second up to now, `seconds` on any steady clock; None for the first sample, and where less was fetched than before."""
        if self._samples and fetched < self._samples[-1][1]:
            self._samples.clear()  # another process counts anew
        self._samples.append((seconds, fetched))
        while len(self._samples) > 2 and seconds - self._samples[1][0] >= _SPEED_SECONDS:
            self._samples.popleft()
        first_seconds, first_fetched = self._samples[0]
        return round((fetched - first_fetched) / (seconds - first_seconds)) if seconds > first_seconds else None


class ReportReader(Protocol):
    """Asks a download how far it is."""

    async def read(self, url: str) -> DownloadReport | None:
        """What the download says now; None where it says nothing that can be understood."""
        ...


class ProgressReader:
    """Asks downloads over HTTP. Use as an async context."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ProgressReader":
        """Opens the connections' pool; to be called on the event loop that asks."""
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=0, limit_per_host=1)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def read(self, url: str) -> DownloadReport | None:
        """See ReportReader.read."""
        if self._session is None:
            raise RuntimeError("ProgressReader is used outside of its context")
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                text = await response.content.read(REPORT_BYTES + 1)
                return DownloadReport.parse(text) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
