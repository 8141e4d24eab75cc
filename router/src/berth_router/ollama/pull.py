"""POST /api/pull → a download, and how far that is → lines of progress."""

import hashlib
from dataclasses import dataclass

import orjson

from berth_api.download_report import DownloadStep
from berth_api.model_download import DownloadPhase, ModelDownload
from berth_router.ollama.errors import OllamaError, error_content
from berth_router.ollama.names import hub_name, quantization_of_tag, split_tag
from berth_router.ollama.requests import ModelBody, model_of, naming_field, read


@dataclass(frozen=True, slots=True)
class PullCall:
    """A model to be downloaded."""

    name: str
    """As the client wrote it."""
    url: str
    """The field `url` of Berth's downloads: the repository, not checked yet."""
    quantization: str | None
    """The field `quantization` of Berth's downloads."""
    streams: bool
    """Whether the client wants lines of progress; else one answer when all is done."""


def pull_call(body: object) -> PullCall:
    """Which download a request asks for. `body`: parsed JSON. Raises OllamaError.

    `hf.co/ORG/REPO:QUANTIZATION`, and the same without host or quantization. Names of Ollama's own library have no
    repository, and are refused.
    """
    name = model_of(body)
    streams = read(ModelBody, body).stream is not False
    of_hub = hub_name(name)
    if of_hub:
        return PullCall(name, of_hub.repository, of_hub.quantization, streams)
    repository, tag = split_tag(name.strip())
    if repository.count("/") != 1 or repository.startswith("library/"):
        field = naming_field(body)
        raise OllamaError(
            f"`{field}` must name a repository of Hugging Face, such as hf.co/ORG/REPO or hf.co/ORG/REPO:Q4_K_M;"
            f" {name[:200]!r} would be of Ollama's library, from which this server downloads nothing.",
            field=field,
        )
    return PullCall(name, repository, quantization_of_tag(tag) if tag else None, streams)


class PullProgress:
    """Turns what is known of a download into lines, as clients know them from Ollama's own downloads."""

    def __init__(self) -> None:
        self.latest = b""
        """The line of progress that was given last."""
        self.ended = False
        """Whether the last line has been given: success, or an error."""
        self.failed = False
        """Whether that was an error."""

    def lines(self, download: ModelDownload) -> bytes:
        """The lines for the download as it is now; nothing where nothing has changed, or after the end."""
        if self.ended:
            return b""
        phase = download.status.phase or DownloadPhase.PENDING
        if phase is DownloadPhase.FAILED:
            return self._failure(download.status.message or download.status.reason or "The download failed.")
        line = _progress(download)
        if phase is DownloadPhase.SUCCEEDED:
            self.ended = True
            return (line if line != self.latest else b"") + success()
        if line == self.latest:
            return b""
        self.latest = line
        return line

    def gone(self) -> bytes:
        """The line for a download that somebody cancelled."""
        return b"" if self.ended else self._failure("The download was cancelled.")

    def _failure(self, text: str) -> bytes:
        self.ended = self.failed = True
        return error_content(text)


def success() -> bytes:
    """The last line of a download, and the whole answer where the client wants no lines."""
    return _line({"status": "success"})


_AS_ALWAYS = frozenset(
    {
        None,
        *("WaitingForPod", "WaitingForNode", "WaitingForContainer", "Starting", "Ending"),
        *(step.value for step in DownloadStep),
    }
)
"""The reasons of the status of a download that nothing stands in the way of."""


def _progress(download: ModelDownload) -> bytes:
    """How many bytes are there. Clients draw a bar for each digest: the download is one thing, with one of its own.

    What stands in the way is a line of its own: a hub that does not answer is asked again for minutes.
    """
    status, total = download.status, download.status.bytes_total
    if status.phase is not DownloadPhase.SUCCEEDED and status.reason not in _AS_ALWAYS and status.message:
        return _line({"status": status.message})
    if not total:
        return _line({"status": "pulling manifest"})
    digest = hashlib.sha256(download.name.encode()).hexdigest()
    completed = min(download.status.bytes_done or 0, total)
    done = {"digest": f"sha256:{digest}", "total": total, "completed": completed}
    return _line({"status": f"pulling {digest[:12]}", **done})


def _line(content: dict[str, str | int]) -> bytes:
    return orjson.dumps(content) + b"\n"
