"""What a model's processes have written: the last of it, for people who ask what went on."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

CAPACITY_BYTES = 1 << 20
"""Kept for each model: some ten thousand lines."""

LONGEST_LINE_BYTES = 16 << 10
"""A line beyond this is cut in two: progress bars may never end theirs."""


class Output:
    """A ring of lines. Lines are numbered from 0 on for ever; the oldest are forgotten."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity = capacity_bytes
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._forgotten = 0
        self._unfinished = b""
        self._news = asyncio.Event()

    @property
    def end(self) -> int:
        """The number that the next line will have."""
        return self._forgotten + len(self._lines)

    def feed(self, data: bytes) -> None:
        """Takes in what was written, wherever it was cut."""
        *lines, rest = (self._unfinished + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        while len(rest) > LONGEST_LINE_BYTES:
            lines.append(rest[:LONGEST_LINE_BYTES])
            rest = rest[LONGEST_LINE_BYTES:]
        self._unfinished = rest
        for line in lines:
            self._append(line)

    def finish_line(self) -> None:
        """Ends a line that its process did not live to end."""
        if self._unfinished:
            self.feed(b"\n")

    def lines(self, since: int = 0) -> list[str]:
        """The lines from this number on, as far as they are kept."""
        skipped = max(0, since - self._forgotten)
        return [line.decode(errors="replace") for line in list(self._lines)[skipped:]]

    async def follow(self, since: int = 0) -> AsyncIterator[list[str]]:
        """The lines from this number on, then those that come, for ever."""
        while True:
            news = self._news
            lines = self.lines(since)
            since = self.end
            if lines:
                yield lines
            else:
                await news.wait()

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._capacity and len(self._lines) > 1:
            self._size -= len(self._lines.popleft()) + 1
            self._forgotten += 1
        self._news.set()
        self._news = asyncio.Event()
