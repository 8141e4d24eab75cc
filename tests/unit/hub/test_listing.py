"""What the hub says of a repository, as the router shows it and a download starts from it."""

import pytest

from berth_hub.errors import (
    DownloadError,
    HubUnavailableError,
    RateLimitedError,
    RepositoryGatedError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from berth_hub.listing import check_access, list_repository
from tests.hub.faults import Fault
from tests.hub.server import HubServer
from tests.unit.hub.conftest import FILES


def test_files_have_sizes_and_hashes(hub: HubServer) -> None:
    hosted = hub.repositories["acme/tiny"]
    commit = hosted.branches["main"]
    repository = list_repository("acme/tiny", "main", hub.url, None)
    assert (repository.commit, repository.gated, repository.private) == (commit, False, False)
    assert {file.path: file.size for file in repository.files} == {
        path: len(content) for path, content in FILES.items()
    }
    for file in repository.files:
        assert (file.sha256 or file.git_hash) == hosted.commits[commit][file.path].etag


def test_a_gated_repository_is_listed_but_not_readable(hub: HubServer) -> None:
    hub.repositories["acme/tiny"].gated = True
    hub.tokens.add("hf_of_a_member")
    repository = list_repository("acme/tiny", "main", hub.url, None)
    assert repository.gated
    with pytest.raises(RepositoryGatedError, match="no token is set"):
        check_access("acme/tiny", repository.commit, "config.json", hub.url, None)
    check_access("acme/tiny", repository.commit, "config.json", hub.url, "hf_of_a_member")


@pytest.mark.parametrize(
    ("name", "revision", "error"),
    [
        ("acme/nothing", "main", RepositoryNotFoundError),
        ("acme/secret", "main", RepositoryNotFoundError),
        ("acme/tiny", "nothing", RevisionNotFoundError),
    ],
)
def test_what_is_not_there(hub: HubServer, name: str, revision: str, error: type[DownloadError]) -> None:
    hub.repository("acme/secret", private=True).commit(FILES)
    with pytest.raises(error):
        list_repository(name, revision, hub.url, None)


@pytest.mark.parametrize(
    ("status", "error"), [(500, HubUnavailableError), (429, RateLimitedError), (404, RepositoryNotFoundError)]
)
def test_refusals(hub: HubServer, status: int, error: type[DownloadError]) -> None:
    hub.faults.append(Fault("api", status=status))
    with pytest.raises(error):
        list_repository("acme/tiny", "main", hub.url, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_the_hub_asks_to_wait(hub: HubServer, headers: dict[str, str], seconds: float | None) -> None:
    hub.faults.append(Fault("api", status=429, headers=headers))
    with pytest.raises(RateLimitedError) as raised:
        list_repository("acme/tiny", "main", hub.url, None)
    assert raised.value.retry_after == seconds


def test_a_hub_that_is_not_there(free_port: int) -> None:
    with pytest.raises(HubUnavailableError, match="the connection was refused"):
        list_repository("acme/tiny", "main", f"http://127.0.0.1:{free_port}", None)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\..\\b", "a//b", "./a", ""])
def test_a_hub_that_lists_paths_out_of_the_repository(hub: HubServer, path: str) -> None:
    hub.repositories["acme/tiny"].commit({path: b"x"})
    with pytest.raises(HubUnavailableError, match="no path below a repository"):
        list_repository("acme/tiny", "main", hub.url, None)
