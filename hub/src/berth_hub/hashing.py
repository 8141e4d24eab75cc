"""Hashes a file right behind its writer.

The hash runs on another core, on pages that are still in memory, so it costs no second pass and none of the writer's
time. A resumed file is hashed from its beginning while the rest is fetched. What is hashed also goes to the disk at
once, so that the fsync at the end has little left to do.
"""

import hashlib
import os
import threading
from pathlib import Path
from typing import Protocol

from berth_hub.repository import RepositoryFile

_PIECE = 1 << 20
_WRITE_BACK = 32 << 20
"""After so many bytes the kernel is asked to write them to the disk."""


class Hash(Protocol):
    """A hash of hashlib, whose own type is private."""

    def update(self, data: memoryview, /) -> None:
        """Adds more of the content."""
        ...

    def hexdigest(self) -> str:
        """The hash of all of the content, in hexadecimal."""
        ...


class FollowingHash:
    """The hash of one file, as far as its writer says that it is there. Has a thread until `digest` or `close`."""

    def __init__(self, path: Path, file: RepositoryFile) -> None:
        self._path = path
        self._hash = new_hash(file)
        self._written = 0
        self._finished = False
        self._failure: OSError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name=f"hash-{path.name[:8]}", daemon=True)
        self._thread.start()

    def advance(self, written: int) -> None:
        """The file now holds this many bytes from its beginning."""
        with self._changed:
            self._written = written
            if written >= _PIECE:
                self._changed.notify()

    def digest(self) -> str:
        """The hash of all that was written, in hexadecimal. Raises OSError if the file could not be read."""
        self._end()
        if self._failure:
            raise self._failure
        return self._hash.hexdigest()

    def close(self) -> None:
        """Ends without a result."""
        with self._changed:
            self._written = 0
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._finished = True
            self._changed.notify()
        self._thread.join()

    def _follow(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                self._read(file.fileno())
        except OSError as error:
            self._failure = error

    def _available(self, done: int) -> int:
        """How many bytes are there, once they are worth reading or no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._written - done >= _PIECE)
            return self._written

    def _read(self, descriptor: int) -> None:
        buffer = memoryview(bytearray(_PIECE))
        done = flushed = 0
        while True:
            available = self._available(done)
            if available <= done:
                return
            while done < available:
                size = os.preadv(descriptor, [buffer[: min(_PIECE, available - done)]], done)
                if size == 0:
                    raise OSError(f"{self._path} is shorter than what was written to it")
                self._hash.update(buffer[:size])
                done += size
                if done - flushed >= _WRITE_BACK and hasattr(os, "posix_fadvise"):
                    # Starts to write dirty pages to the disk, and drops those that are on it already.
                    os.posix_fadvise(descriptor, flushed, done - flushed, os.POSIX_FADV_DONTNEED)
                    flushed = done


def new_hash(file: RepositoryFile) -> Hash:
    """A hash of the kind that the repository states of the file, before the file's first byte."""
    if file.sha256:
        return hashlib.sha256()
    # Git's blob hash: the hub has no other one of this file.
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)


def expected_hash(file: RepositoryFile) -> str:
    """What `FollowingHash.digest` of the whole file must be."""
    return file.sha256 or file.git_hash or ""
