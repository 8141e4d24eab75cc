"""What may be downloaded, and to where: the only parser of sources and destinations.

The router's API, the resource and the download itself use it. What a caller sends counts as hostile until it has passed
here. So each rule is an allow-list in ASCII: no scheme or host but the administrator's, no credentials, no
percent-encoding, no path out of the store. The resource's schema has the same patterns, which mean the same to Python,
to pydantic and to the API server.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from berth_process.settings_error import WrongValueError

DEFAULT_HUB = "https://huggingface.co"
DEFAULT_REVISION = "main"

_NAME = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
"""One part of a repository's name: as the hub allows it, but in ASCII only."""

REPOSITORY_LENGTH = 193
REPOSITORY_PATTERN = rf"^{_NAME}/{_NAME}$"

REVISION_LENGTH = 255
REVISION_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$"
"""A branch, a tag, a commit or a reference such as refs/pr/7. No part begins with a dot or looks like an option."""

DESTINATION_LENGTH = 255
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,159}"
DESTINATION_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT})?$"
"""One or two folders. None begins with a dot, so none is hidden and none leads upwards."""

FILE_SUFFIX = ".gguf"
"""A destination must not end like this: a path like this is a file for everybody."""

LOST_AND_FOUND = "lost+found"
"""A folder that mkfs makes at the top of a volume."""

QUANTIZATION_LENGTH = 32
QUANTIZATION_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

GLOB_LENGTH = 256
GLOBS = 64
"""The most patterns that a list may have."""

GLOB_PATTERN = r"^[^\x00-\x20\x7f/\\$-][^\x00-\x1f\x7f\\$]*$"
"""A pattern of file names in the repository, without `$`: Kubernetes replaces `$(NAME)` in a container's arguments."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?(?P<path>/.*)?"
)
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2048}")
_PORTS = {"http": 80, "https": 443}
_BESIDE_A_PATH = "%?#@\\"
_NOT_MODELS = ("datasets", "spaces")
_SHOWN = 80
"""Characters of a refused text that an error repeats."""


@dataclass(frozen=True, slots=True)
class Source:
    """A repository of the hub, and which state of it."""

    repository: str
    """Owner and name: `org/name`."""

    revision: str
    """A branch, a tag or a commit."""


class InvalidSourceError(ValueError):
    """The request names nothing that can be downloaded. `field`: what is wrong; `message`: what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def parse_source(text: str, allowed_endpoints: Iterable[str] = (DEFAULT_HUB,)) -> Source:
    """The repository and revision that a text names.

    The text is `org/name`, `org/name@REVISION`, or a URL of an allowed hub: `ENDPOINT/org/name` or
    `ENDPOINT/org/name/tree/REVISION`. Raises InvalidSourceError for field `url`, `repository` or `revision`.
    """
    if not _PRINTABLE.fullmatch(text):
        raise InvalidSourceError(
            "url", f"{_shown(text)} cannot be a repository's name: write org/name or the hub's URL of it"
        )
    if "://" not in text:
        repository, at, revision = text.partition("@")
        return Source(checked_repository(repository), checked_revision(revision) if at else DEFAULT_REVISION)
    return _parse_url(text, list(allowed_endpoints))


def is_endpoint(text: str) -> bool:
    """Whether it can be the base URL of a hub: http or https, a host, perhaps port and path, and nothing encoded."""
    try:
        url = urlsplit(text)
        has_place = url.scheme in _PORTS and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    if not has_place or _PRINTABLE.fullmatch(text) is None:
        return False
    return not any(character in text for character in _BESIDE_A_PATH)


def hub_endpoint(text: str) -> str:
    """The base URL of a hub, without a slash at its end."""
    endpoint = text.strip().rstrip("/")
    if not is_endpoint(endpoint):
        raise WrongValueError("a URL such as https://huggingface.co, without user name, query or fragment")
    return endpoint


def checked_repository(text: str) -> str:
    """The text, if it is a repository's `org/name`; raises InvalidSourceError otherwise."""
    if not _fits(text, REPOSITORY_PATTERN, REPOSITORY_LENGTH) or "--" in text or ".." in text:
        raise InvalidSourceError(
            "repository", f"{_shown(text)} is not a repository: write org/name, of letters, digits, '-', '_' and '.'"
        )
    if text.split("/", maxsplit=1)[0] in _NOT_MODELS:
        raise InvalidSourceError(
            "repository", f"{_shown(text)} does not hold a model: only repositories of models can be downloaded"
        )
    return text


def checked_revision(text: str) -> str:
    """The text, if it can be a branch, a tag or a commit; raises InvalidSourceError otherwise."""
    if not _fits(text, REVISION_PATTERN, REVISION_LENGTH) or ".." in text:
        raise InvalidSourceError(
            "revision", f"{_shown(text)} is not a revision: name a branch, a tag or a commit, such as main"
        )
    return text


def checked_destination(text: str) -> str:
    """The text, if it is a folder in the model store, one or two levels deep; raises InvalidSourceError otherwise."""
    if not _fits(text, DESTINATION_PATTERN, DESTINATION_LENGTH):
        raise InvalidSourceError(
            "destination",
            f"{_shown(text)} is not a folder of the model store: write NAME or FOLDER/NAME, relative to the store, of"
            " letters, digits, '-', '_', '.', '+' and '='; no part begins with '.' or is longer than 160 characters",
        )
    if text.endswith(FILE_SUFFIX) or text.split("/", maxsplit=1)[0] == LOST_AND_FOUND:
        raise InvalidSourceError("destination", f"{_shown(text)} cannot be a model's folder: choose another name")
    return text


def checked_quantization(text: str) -> str:
    """The text, if it can be a quantization's name; raises InvalidSourceError otherwise."""
    if not _fits(text, QUANTIZATION_PATTERN, QUANTIZATION_LENGTH):
        raise InvalidSourceError(
            "quantization",
            f"{_shown(text)} is not a quantization's name: write it as in the file names, such as Q4_K_M",
        )
    return text


def checked_globs(field: str, globs: Iterable[str]) -> list[str]:
    """The patterns, if all of them can be patterns of file names; raises InvalidSourceError for `field` otherwise."""
    checked = list(globs)
    if len(checked) > GLOBS:
        raise InvalidSourceError(field, f"{len(checked)} patterns are too many: {GLOBS} are allowed")
    for glob in checked:
        if not _fits(glob, GLOB_PATTERN, GLOB_LENGTH) or ".." in glob.split("/"):
            raise InvalidSourceError(
                field,
                f"{_shown(glob)} is not a pattern of file names in a repository: write it like *.gguf or original/*,"
                " without '$' and '\\'",
            )
    return checked


def _fits(text: str, pattern: str, length: int) -> bool:
    return len(text) <= length and re.fullmatch(pattern, text) is not None


def _parse_url(text: str, allowed_endpoints: list[str]) -> Source:
    url = _URL.fullmatch(text)
    if not url:
        _refuse_url(text, "is not a URL that can be used: no user name or password, and no port but a number")
    if url["scheme"].lower() not in _PORTS:
        _refuse_url(text, f"has the scheme {url['scheme']}")
    rest = next((below for endpoint in allowed_endpoints if (below := _below(url, endpoint)) is not None), None)
    if rest is None:
        hubs = ", ".join(allowed_endpoints)
        raise InvalidSourceError("url", f"{_shown(text)} is on another hub than may be used here: {hubs}")
    if any(character in rest for character in _BESIDE_A_PATH):
        _refuse_url(text, "has encoded characters, a query or a fragment")
    segments = rest.removesuffix("/").split("/")
    if segments[0] in _NOT_MODELS:
        raise InvalidSourceError(
            "url", f"{_shown(text)} does not hold a model: only repositories of models can be downloaded"
        )
    if len(segments) > 3 and segments[2] == "tree":
        return Source(checked_repository("/".join(segments[:2])), checked_revision("/".join(segments[3:])))
    if len(segments) > 3 and segments[2] in ("blob", "resolve"):
        raise InvalidSourceError(
            "url", f"{_shown(text)} is one file of a repository: give the repository, and the file in `include`"
        )
    if len(segments) != 2:
        _refuse_url(text, "is not a repository's")
    return Source(checked_repository("/".join(segments)), DEFAULT_REVISION)


def _below(url: re.Match[str], endpoint: str) -> str | None:
    """The path of the URL below the endpoint; None where the URL is not below it."""
    allowed = _URL.fullmatch(endpoint.rstrip("/"))
    if not allowed or _origin(allowed) != _origin(url):
        return None
    prefix, path = (allowed["path"] or "") + "/", (url["path"] or "").removesuffix("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def _origin(url: re.Match[str]) -> tuple[str, str, int | None]:
    scheme = url["scheme"].lower()
    return scheme, url["host"].lower(), int(url["port"]) if url["port"] else _PORTS.get(scheme)


def _refuse_url(text: str, fault: str) -> NoReturn:
    raise InvalidSourceError(
        "url", f"{_shown(text)} {fault}: write org/name, {DEFAULT_HUB}/org/name or {DEFAULT_HUB}/org/name/tree/REVISION"
    )


def _shown(text: str) -> str:
    """The text as an error repeats it: short, and without what stands before an @, which may be a password."""
    if "://" in text and "@" in text.split("://", 1)[1].split("/", 1)[0]:
        text = f"{text.split('://', 1)[0]}://...@{text.rsplit('@', 1)[1]}"
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
