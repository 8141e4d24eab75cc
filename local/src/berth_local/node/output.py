"""The output of a model's processes: its last lines, for `berth logs` and for termination messages."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

CAPACITY_BYTES = 1 << 20
"""The bytes that are kept for each model: some ten thousand lines."""

LONGEST_LINE_BYTES = 16 << 10
"""A longer line is cut in two, because a progress bar may never end its line."""


class OutputBuffer:
    """A ring buffer of lines. Lines are numbered from 0; the oldest are forgotten, and numbers are never used again."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity = capacity_bytes
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._forgotten = 0
        self._unfinished = b""
        self._grown = asyncio.Event()

    @property
    def end(self) -> int:
        """The number that the next line will have."""
        return self._forgotten + len(self._lines)

    def feed(self, data: bytes) -> None:
        """Adds bytes as a process wrote them. A line may come in several pieces."""
        *lines, rest = (self._unfinished + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        while len(rest) > LONGEST_LINE_BYTES:
            lines.append(rest[:LONGEST_LINE_BYTES])
            rest = rest[LONGEST_LINE_BYTES:]
        self._unfinished = rest
        for line in lines:
            self._append(line)

    def finish_line(self) -> None:
        """Ends the last line, if its process ended before it did."""
        if self._unfinished:
            self.feed(b"\n")

    def lines(self, since: int = 0) -> list[str]:
        """The lines from number `since` on that are still kept."""
        skipped = max(0, since - self._forgotten)
        return [line.decode(errors="replace") for line in list(self._lines)[skipped:]]

    async def follow(self, since: int = 0) -> AsyncIterator[list[str]]:
        """Yields the lines from number `since` on, then new lines as they come, for ever."""
        while True:
            grown = self._grown
            lines = self.lines(since)
            since = self.end
            if lines:
                yield lines
            else:
                await grown.wait()

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._capacity and len(self._lines) > 1:
            self._size -= len(self._lines.popleft()) + 1
            self._forgotten += 1
        self._grown.set()
        self._grown = asyncio.Event()
