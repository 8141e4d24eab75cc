"""Fetches files into a download's staging folder: resumes, hashes on the way, and tries again when the hub fails.

The hub's client makes the requests' headers and reads the hub's refusals. The bytes are moved here, because the
client's own download starts from zero in each new process and checks no hash.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import httpx2
import structlog
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # pyright: ignore[reportUnknownVariableType] (a bare dict in it)

from berth_hub.errors import ContentMismatchError, DownloadError, HubUnavailableError
from berth_hub.hashing import FollowingHash, expected_hash
from berth_hub.progress import ProgressTracker
from berth_hub.refusals import refusal_of, unreachable
from berth_hub.repository import RepositoryFile
from berth_hub.reservations import full
from berth_hub.retrying import RetryPolicy
from berth_hub.staging import Staging

PARALLEL_FILES = 4
"""Files that are fetched at once: enough to hide the hub's latency between two files."""

_REQUEST_BYTES = 16 << 30
"""The most that one request asks for. Content networks serve larger files in ranges only."""

_MIXED_UP = "a proxy or mirror on the way changes or mixes up files; fix or bypass it, then ask for the download again"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommitSource:
    """One commit of a repository at a hub: where files are fetched from."""

    endpoint: str
    token: str | None
    repository: str
    commit: str

    def url(self, path: str) -> str:
        """The URL of one file's content."""
        return hf_hub_url(self.repository, path, revision=self.commit, endpoint=self.endpoint)

    def headers(self) -> dict[str, str]:
        """The headers of every request. The client drops the token when the hub redirects to another host."""
        # Encoded content has neither the size nor the ranges that the repository states.
        return {**build_hf_headers(token=self.token or False, library_name="berth"), "Accept-Encoding": "identity"}

    def refusal(self, error: httpx2.HTTPError) -> DownloadError:
        """Our error for the client's."""
        return refusal_of(error, self.repository, self.commit, self.endpoint, has_token=self.token is not None)


class Fetcher:
    """Fetches the files of one commit."""

    def __init__(
        self, hub: CommitSource, staging: Staging, progress: ProgressTracker, retry_policy: RetryPolicy
    ) -> None:
        self._hub = hub
        self._staging = staging
        self._progress = progress
        self._retry_policy = retry_policy
        self._stopped = threading.Event()

    def fetch(self, files: list[RepositoryFile]) -> None:
        """Fetches what is not there yet, checks it and writes it to disk.

        Raises the first DownloadError, or OSError for the store. What was fetched stays, for a later attempt.
        """
        missing: list[RepositoryFile] = []
        for file in files:
            present = _size_of(self._staging.whole(file))
            if present == file.size:
                self._progress.present(file.path, file.size)
                self._progress.file_done()
            else:
                self._progress.present(file.path, min(_size_of(self._staging.part(file)) or 0, file.size))
                missing.append(file)
        # Large files first, so that no large one is fetched alone at the end.
        missing.sort(key=lambda file: -file.size)
        with ThreadPoolExecutor(PARALLEL_FILES, thread_name_prefix="fetch") as pool:
            futures = [pool.submit(self._one, file) for file in missing]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
        failures = [error for future in done if (error := future.exception())]
        if failures:
            raise next(
                (error for error in failures if isinstance(error, DownloadError) and error.permanent), failures[0]
            )

    def _one(self, file: RepositoryFile) -> None:
        """Fetches the rest of one file, checks it, and moves it to its place in the model."""
        part, whole = self._staging.part(file), self._staging.whole(file)
        try:
            if not self._content(file, part) and not self._content(file, part):
                stated = f"{self._hub.repository}@{self._hub.commit} states"
                raise ContentMismatchError(f"{file.path} came with another content than {stated}, twice: {_MIXED_UP}")
            whole.parent.mkdir(parents=True, exist_ok=True)
            part.replace(whole)
        except OSError as error:
            raise full(self._staging.folder, error) or error from error
        self._progress.file_done()

    def _content(self, file: RepositoryFile, part: Path) -> bool:
        """Fetches what is missing. Whether the file's hash is right; a wrong file is deleted."""
        transfer = _Transfer(self._hub, file, part, self._received, self._progress.present, self._stopped)
        try:
            self._until_complete(transfer)
            right = transfer.digest() == expected_hash(file)
            if right:
                os.fsync(transfer.descriptor)
        finally:
            transfer.close()
        if not right:
            _log.warning("a file's hash is wrong: it is fetched again", file=file.path)
            part.unlink()
            self._progress.present(file.path, 0)
        return right

    def _until_complete(self, transfer: "_Transfer") -> None:
        failures = 0
        while transfer.missing:
            before = transfer.received
            try:
                transfer.request()
            except DownloadError as error:
                failures = 1 if transfer.received > before else failures + 1
                seconds = self._retry_policy.wait(failures, error)
                if seconds is None:
                    raise
                _log.info(
                    "fetching is tried again", file=transfer.file.path, at=transfer.offset, why=str(error), wait=seconds
                )
                self._progress.say(error.reason, f"{error}; tried again in {seconds:.0f} s")
                if self._stopped.wait(seconds):
                    raise
            else:
                failures = 0
                self._progress.say("", "")

    def _received(self, size: int) -> None:
        self._staging.count_fetched(size)
        self._progress.fetched(self._staging.fetched)


class _Transfer:
    """One file that is being fetched, and the hash that is computed behind it."""

    def __init__(
        self,
        hub: CommitSource,
        file: RepositoryFile,
        part: Path,
        received: Callable[[int], None],
        present: Callable[[str, int], None],
        stopped: threading.Event,
    ) -> None:
        self.file = file
        self.received = 0
        """Bytes that this object has received."""
        self._hub = hub
        self._on_received = received
        self._on_present = present
        self._stopped = stopped
        self._path = part
        self.descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.offset = os.fstat(self.descriptor).st_size
        if self.offset > file.size:
            self.offset = 0
            os.ftruncate(self.descriptor, 0)
        self._hash = self._new_hash()

    @property
    def missing(self) -> int:
        """The bytes that are still to come."""
        return self.file.size - self.offset

    def digest(self) -> str:
        """The hash of the file as far as it is there."""
        return self._hash.digest()

    def close(self) -> None:
        """Closes the file, and leaves it as it is."""
        self._hash.close()
        os.close(self.descriptor)

    def request(self) -> None:
        """Asks once for what is missing, and writes what comes. Raises a DownloadError, or OSError for the store."""
        before, end = self.offset, min(self.offset + _REQUEST_BYTES, self.file.size) - 1
        headers = self._hub.headers()
        if self.offset or end < self.file.size - 1:
            headers["Range"] = f"bytes={self.offset}-{end}"
        url, timeout = self._hub.url(self.file.path), constants.HF_HUB_DOWNLOAD_TIMEOUT
        try:
            with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                hf_raise_for_status(response)
                self._check(response)
                self._write(response)
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            if isinstance(error, httpx2.HTTPError):
                raise self._hub.refusal(error) from None
            raise unreachable(
                self._hub.endpoint, f"its answer for {self.file.path} cannot be read ({type(error).__name__})"
            ) from None
        if self.offset <= before:
            raise unreachable(self._hub.endpoint, f"it ended its answer before byte {before} of {self.file.path}")

    def _check(self, response: httpx2.Response) -> None:
        """Checks that the answer begins where the file ends, and is of the content that was listed."""
        for answer in (*response.history, response):
            etag = (answer.headers.get("x-linked-etag") or "").removeprefix("W/").strip('"')
            if self.file.sha256 and len(etag) == 64 and etag != self.file.sha256:
                raise self._other_content(f"SHA-256 {etag} instead of {self.file.sha256}")
        if response.status_code == 206:
            if not response.headers.get("content-range", "").startswith(f"bytes {self.offset}-"):
                raise unreachable(self._hub.endpoint, f"it sent another part of {self.file.path} than it was asked for")
        elif self.offset:
            self._restart()  # the whole file comes, though a part was asked for

    def _write(self, response: httpx2.Response) -> None:
        for chunk in response.iter_raw():
            if self._stopped.is_set():
                raise HubUnavailableError("another file of the download failed")
            if len(chunk) > self.missing:
                raise self._other_content(f"more than its {self.file.size} bytes")
            self._on_received(len(chunk))
            view = memoryview(chunk)
            while view:
                view = view[os.write(self.descriptor, view) :]
            self.received += len(chunk)
            self.offset += len(chunk)
            self._hash.advance(self.offset)
            self._on_present(self.file.path, self.offset)

    def _restart(self) -> None:
        os.ftruncate(self.descriptor, 0)
        self.offset = 0
        self._hash.close()
        self._hash = self._new_hash()

    def _new_hash(self) -> FollowingHash:
        following = FollowingHash(self._path, self.file)
        following.advance(self.offset)
        return following

    def _other_content(self, what: str) -> ContentMismatchError:
        served = f"{self._hub.endpoint} serves {self.file.path} with {what}"
        return ContentMismatchError(f"{served} for {self._hub.repository}@{self._hub.commit}: {_MIXED_UP}")


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
