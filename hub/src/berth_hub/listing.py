"""Asks the hub what a repository holds.

Every call makes one attempt, which is bounded in time. `berth_hub.retrying` makes more.
"""

import re
from pathlib import PurePosixPath

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoSibling

from berth_hub.connection_causes import OFFLINE
from berth_hub.errors import HubOfflineError, HubUnavailableError
from berth_hub.refusals import refusal_of, unreachable
from berth_hub.repository import Repository, RepositoryFile

TIMEOUT = 10.0
"""The seconds that the hub has to answer."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def list_repository(repository: str, revision: str, endpoint: str, token: str | None) -> Repository:
    """The repository's files at the commit that the revision stands for now. Raises a HubError."""
    try:
        info = _hub(endpoint, token).model_info(repository, revision=revision, timeout=TIMEOUT, files_metadata=True)
    except OfflineModeIsEnabled:
        raise HubOfflineError(f"the hub at {endpoint} cannot be used: {OFFLINE}") from None
    except httpx2.HTTPError as error:
        raise refusal_of(error, repository, revision, endpoint, has_token=token is not None) from None
    except (HFValidationError, ValueError, KeyError, TypeError) as error:
        raise _not_a_hub(endpoint, f"its answer about {repository} cannot be read ({type(error).__name__})") from None
    if not _COMMIT.fullmatch(info.sha or ""):
        raise _not_a_hub(endpoint, f"it does not say which commit {repository}@{revision} is")
    files = tuple(_file(sibling, endpoint) for sibling in info.siblings or [])
    return Repository(
        name=repository, commit=info.sha or "", gated=bool(info.gated), private=bool(info.private), files=files
    )


def check_access(repository: str, commit: str, path: str, endpoint: str, token: str | None) -> None:
    """Asks for a file without fetching it: everybody may list a gated repository, but not read its files.

    Raises a HubError.
    """
    url = hf_hub_url(repository, path, revision=commit, endpoint=endpoint)
    try:
        _hub(endpoint, token).get_hf_file_metadata(url=url, timeout=TIMEOUT)
    except httpx2.HTTPError as error:
        raise refusal_of(error, repository, commit, endpoint, has_token=token is not None) from None


def _hub(endpoint: str, token: str | None) -> HfApi:
    # None would let the client send a token that it finds on this machine. False does not.
    return HfApi(endpoint=endpoint, token=token or False, library_name="berth")


def _file(sibling: RepoSibling, endpoint: str) -> RepositoryFile:
    path, size = sibling.rfilename, sibling.lfs.size if sibling.lfs else sibling.size
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or "\0" in path
        or str(PurePosixPath(path)) != path
    ):
        raise _not_a_hub(endpoint, f"it lists a file {path!r}, which is no path below a repository")
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    git_hash = None if sibling.lfs else sibling.blob_id
    if size is None or size < 0 or not (_SHA256.fullmatch(sha256 or "") or _COMMIT.fullmatch(git_hash or "")):
        raise _not_a_hub(endpoint, f"it states no size or no hash of {path}")
    return RepositoryFile(path, size, sha256, git_hash)


def _not_a_hub(endpoint: str, what: str) -> HubUnavailableError:
    return unreachable(endpoint, f"{what}; set HF_ENDPOINT to a server with the Hugging Face Hub's API")
