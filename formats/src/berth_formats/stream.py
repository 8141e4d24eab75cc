"""A file's header as a stream of little-endian values, read in pieces of bounded size."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct

from berth_formats.errors import FormatError

CHUNK_BYTES = 128 * 1024
"""How much is read at once. Other threads run between two reads."""

_U32 = Struct("<I")
_U64 = Struct("<Q")


class HeaderStream:
    """Reads a file from its beginning on, and holds one piece of it at a time.

    Every method raises FormatError if the file ends before the value does, or cannot be read.
    """

    def __init__(self, descriptor: int, name: str, size: int) -> None:
        self.name = name
        self.size = size
        """Bytes of the whole file."""
        self._descriptor = descriptor
        self._base = 0
        self._buffer = b""
        self._at = 0

    @property
    def position(self) -> int:
        """How many bytes have been read or skipped."""
        return self._base + self._at

    def take(self, count: int) -> bytes:
        """The next bytes. The caller bounds `count`."""
        if self._at + count > len(self._buffer):
            self._refill(count)
        taken = self._buffer[self._at : self._at + count]
        self._at += count
        return taken

    def skip(self, count: int) -> None:
        """Skips so many bytes, mostly without reading them."""
        self._at += count
        if self.position > self.size:
            raise self.truncated()

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay the next ones. Fewer if the file ends before."""
        count = min(count, self.size - self.position)
        taken = self.take(count)
        self._at -= count
        return taken

    def u32(self) -> int:
        """The next four bytes as a number."""
        return _U32.unpack(self.take(4))[0]

    def u64(self) -> int:
        """The next eight bytes as a number."""
        return _U64.unpack(self.take(8))[0]

    def skip_strings(self, count: int) -> None:
        """Skips so many strings, each with its length before it.

        A vocabulary has a quarter of a million of them: nearly all of a header's time is spent here.
        """
        length_at = _U64.unpack_from
        while count:
            buffer, at, last = self._buffer, self._at, len(self._buffer) - 8
            while count and at <= last:
                at += 8 + length_at(buffer, at)[0]
                count -= 1
            self._at = at
            if count:
                self._refill(8)
        self.skip(0)

    def truncated(self) -> FormatError:
        """The error for a file that ends too early."""
        return FormatError(
            f"{self.name} ends after {self.size} bytes, in the middle of its header: the download did not finish"
        )

    def _refill(self, count: int) -> None:
        """Reads at least `count` bytes more, from the position on."""
        position = self.position
        if position + count > self.size:
            raise self.truncated()
        try:
            read = os.pread(self._descriptor, max(count, CHUNK_BYTES), position)
        except OSError as error:
            raise FormatError(f"{self.name} cannot be read: {error.strerror}") from error
        if len(read) < count:  # it became shorter since it was opened
            raise self.truncated()
        self._base, self._buffer, self._at = position, read, 0


@contextmanager
def header_of(path: Path, name: str | None = None) -> Generator[HeaderStream]:
    """The file's header; errors call the file `name`. Raises FormatError if it cannot be read or is no regular file."""
    name = name or path.name
    try:
        # Without O_NONBLOCK, opening a pipe of this name would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FormatError(f"{name} cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FormatError(f"{name} is not a file")
        yield HeaderStream(descriptor, name, found.st_size)
    finally:
        os.close(descriptor)


def content_of(path: Path, limit: int) -> bytes:
    """All of a file of at most `limit` bytes. Raises FormatError if it has more or cannot be read."""
    with header_of(path) as stream:
        if stream.size > limit:
            raise FormatError(f"{path.name} has {stream.size} bytes, more than {limit}: it is not what its name says")
        return stream.take(stream.size)
