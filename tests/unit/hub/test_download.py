"""The real download against a hub that misbehaves:
each fault ends in a correct directory or in none, and says what to do.
"""

import json
import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from berth_api.download_report import DownloadReport, DownloadStep
from berth_hub.download import DownloadAttempt, HubAccess, Request
from berth_hub.errors import (
    ContentMismatchError,
    DestinationTakenError,
    DownloadError,
    HubUnavailableError,
    RateLimitedError,
    RepositoryGatedError,
    TokenRefusedError,
)
from berth_hub.progress import ProgressTracker
from berth_hub.publishing import MANIFEST
from berth_hub.retrying import RetryPolicy
from berth_hub.selection import Selection
from tests.hub.faults import Fault
from tests.hub.server import HubServer
from tests.unit.hub.conftest import FILES, TAKEN, WEIGHTS
from tests.unit.hub.running import Running, run

TINY = ("--repository", "acme/tiny", "--destination", "tiny")


def download(
    hub: HubServer, store: Path, *, token: str | None = None, name: str = "tiny", repository: str = "acme/tiny"
) -> DownloadReport:
    """One attempt in this process, by someone who does not wait long."""
    progress = ProgressTracker()
    request = Request(repository, "main", "tiny", Selection())
    DownloadAttempt(request, HubAccess(hub.url, token), store, 0, progress, RetryPolicy(tries=4, first_wait=0.01)).run(
        name
    )
    return progress.report()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def assert_complete(store: Path, destination: str = "tiny") -> None:
    assert content(store / destination) == {path: FILES[path] for path in TAKEN}
    assert [path.name for path in (store / ".downloads").iterdir()] == [".lock"]


def assert_absent(store: Path, destination: str = "tiny") -> None:
    assert not (store / destination).exists()


def test_a_download_ends_in_its_files_and_a_manifest(hub: HubServer, store: Path) -> None:
    code, message = run(store, hub.url, *TINY, "--destination", "acme/tiny")
    assert code == 0
    assert_complete(store, "acme/tiny")
    manifest = json.loads((store / "acme/tiny" / MANIFEST).read_text())
    repository = hub.repositories["acme/tiny"]
    commit = repository.branches["main"]
    assert (manifest["repository"], manifest["commit"]) == ("acme/tiny", commit)
    stated = {file["path"]: (file["size"], file.get("sha256") or file["gitHash"]) for file in manifest["files"]}
    assert stated == {
        path: (file.size, file.etag) for path, file in repository.commits[commit].items() if path in TAKEN
    }
    size = sum(len(FILES[path]) for path in TAKEN)
    assert message == {
        "phase": "Succeeded",
        "reason": "Succeeded",
        "message": message["message"],
        "commit": commit,
        "bytesDone": size,
        "bytesTotal": size,
        "bytesFetched": size,
        "filesDone": 5,
        "filesTotal": 5,
    }


def test_the_token_goes_to_the_hub_only(hub: HubServer, store: Path) -> None:
    hub.tokens.add("hf_verysecret")
    hub.repositories["acme/tiny"].gated = True
    running = Running(store, hub.url, TINY)
    assert running.ended() == 0
    assert_complete(store)
    assert hub.tokens_at_cdn == 0
    written = running.output.read_text() + json.dumps(running.message())
    assert "hf_verysecret" not in written
    assert "secret-signature" not in written


def test_the_hub_is_asked_for_nothing_but_the_model(hub: HubServer, store: Path) -> None:
    download(hub, store)
    assert [path for _, path in hub.requests if "acme/tiny" not in path] == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("model.safetensors", cut_after=1_000_000, times=2),
        Fault("model.safetensors", cut_after=0),
        Fault("config.json", cut_after=5),
        Fault("model.safetensors", status=500, times=3),
        Fault("model.safetensors", status=503, times=3),
        Fault("model.safetensors", status=429, headers={"Retry-After": "0"}, times=3),
        Fault("api", status=500, times=3),
        Fault("api", status=429, headers={"Retry-After": "0"}, times=3),
        Fault("model.safetensors", flip=2_000_001),
        Fault("config.json", flip=3),
    ],
    ids=repr,
)
def test_a_fault_that_passes_is_overcome(hub: HubServer, store: Path, fault: Fault) -> None:
    hub.faults.append(fault)
    download(hub, store)
    assert_complete(store)
    assert fault.times == 0


def test_a_cut_connection_costs_no_byte_twice(hub: HubServer, store: Path) -> None:
    hub.faults.append(Fault("model.safetensors", cut_after=1_000_000, times=2))
    assert download(hub, store).bytes_fetched == sum(len(FILES[path]) for path in TAKEN)


def test_a_hub_that_ignores_ranges_is_read_from_the_beginning(hub: HubServer, store: Path) -> None:
    hub.faults += [Fault("model.safetensors", cut_after=1_000_000), Fault("model.safetensors", ignore_range=True)]
    report = download(hub, store)
    assert_complete(store)
    assert report.bytes_fetched == (report.bytes_total or 0) + 1_000_000


def test_a_stall_ends_and_is_resumed(hub: HubServer, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.faults.append(Fault("model.safetensors", stall_after=1_000_000))
    report = download(hub, store)
    assert_complete(store)
    assert report.bytes_fetched == report.bytes_total


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (Fault("model.safetensors", status=500, times=99), HubUnavailableError, "status 500"),
        (Fault("model.safetensors", cut_after=0, times=99), HubUnavailableError, "connection failed"),
        (
            Fault("api", status=429, headers={"Retry-After": "0"}, times=99),
            RateLimitedError,
            "a token raises the limit",
        ),
        (Fault("model.safetensors", flip=17, times=99), ContentMismatchError, "proxy or mirror"),
    ],
    ids=["500", "cut", "429", "wrong byte"],
)
def test_a_fault_that_stays_leaves_no_directory(
    hub: HubServer, store: Path, fault: Fault, error: type[DownloadError], says: str
) -> None:
    hub.faults.append(fault)
    with pytest.raises(error, match=says):
        download(hub, store)
    assert_absent(store)


def test_what_was_fetched_before_the_hub_failed_is_not_fetched_again(hub: HubServer, store: Path) -> None:
    hub.faults += [Fault("model.safetensors", cut_after=2_000_000), Fault("model.safetensors", status=500, times=4)]
    with pytest.raises(HubUnavailableError):
        download(hub, store)
    report = download(hub, store)
    assert_complete(store)
    assert report.bytes_fetched == report.bytes_total
    assert hub.sent["model.safetensors"] == len(WEIGHTS)


def test_a_wrong_byte_that_stays_is_final_and_leaves_nothing(hub: HubServer, store: Path) -> None:
    hub.faults.append(Fault("model.safetensors", flip=17, times=99))
    code, message = run(store, hub.url, *TINY)
    assert (code, message["phase"], message["reason"]) == (3, "Failed", "ContentMismatch")
    assert "model.safetensors" in message["message"]
    assert [path.name for path in store.rglob("*")] == [".downloads", ".lock"]


@pytest.mark.parametrize(
    ("cluster", "hint"), [("", "the token is in HF_TOKEN"), ("10.96.0.1", "the chart's value downloads.tokenSecret")]
)
def test_where_the_token_is_said_in_words_of_the_place(
    hub: HubServer, store: Path, monkeypatch: pytest.MonkeyPatch, cluster: str, hint: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", cluster)
    hub.repositories["acme/tiny"].gated = True
    with pytest.raises(RepositoryGatedError, match=f"{hint}$"):
        download(hub, store)


def test_a_gated_repository_says_what_to_ask_for(hub: HubServer, store: Path) -> None:
    hub.repositories["acme/tiny"].gated = True
    with pytest.raises(RepositoryGatedError, match=f"ask for access at {hub.url}/acme/tiny and set a token"):
        download(hub, store)
    with pytest.raises(RepositoryGatedError, match="the token's account has no access"):
        download(hub, store, token="hf_of_another")
    with pytest.raises(TokenRefusedError, match="does not accept the token"):
        download(hub, store, token="expired")
    assert_absent(store)
    hub.tokens.add("hf_of_a_member")
    download(hub, store, token="hf_of_a_member")
    assert_complete(store)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--repository", "acme/nothing", "--destination", "tiny"), "RepositoryNotFound"),
        ((*TINY, "--revision", "nothing"), "RevisionNotFound"),
        ((*TINY, "--quantization", "Q4_K_M"), "QuantizationNotFound"),
        ((*TINY, "--include", "*.onnx"), "NothingSelected"),
        ((*TINY, "--destination", "../tiny"), "InvalidArgument"),
        ((*TINY, "--destination", "/etc"), "InvalidArgument"),
        ((*TINY, "--repository", "https://elsewhere/acme/tiny"), "InvalidArgument"),
        ((*TINY, "--id", "../../tiny"), "InvalidArgument"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_downloaded_is_final(
    hub: HubServer, store: Path, arguments: tuple[str, ...], reason: str
) -> None:
    code, message = run(store, hub.url, *arguments)
    assert (code, message["reason"]) == (3, reason)
    assert_absent(store)


def test_a_repository_that_moves_on_while_it_is_fetched(hub: HubServer, store: Path) -> None:
    """The commit that was listed is the one that is fetched, in later attempts too."""
    repository = hub.repositories["acme/tiny"]
    first = repository.branches["main"]
    hub.faults += [Fault("model.safetensors", cut_after=1_000_000), Fault("model.safetensors", status=500, times=4)]
    with pytest.raises(HubUnavailableError):
        download(hub, store)
    repository.commit({**FILES, "model.safetensors": os.urandom(len(WEIGHTS))})
    assert download(hub, store).commit == first
    assert_complete(store)


def test_a_repository_whose_history_is_rewritten_while_it_is_fetched(hub: HubServer, store: Path) -> None:
    repository = hub.repositories["acme/tiny"]
    hub.faults += [Fault("model.safetensors", cut_after=1_000_000), Fault("model.safetensors", status=500, times=4)]
    with pytest.raises(HubUnavailableError):
        download(hub, store)
    repository.forget(repository.branches["main"])
    new = {**FILES, "model.safetensors": os.urandom(2_500_000)}
    commit = repository.commit(new)
    assert download(hub, store).commit == commit
    assert content(store / "tiny") == {path: new[path] for path in TAKEN}


def test_the_same_again_succeeds_without_fetching(hub: HubServer, store: Path) -> None:
    download(hub, store)
    hub.sent.clear()
    report = download(hub, store, name="again")
    assert (report.phase, report.bytes_done, hub.sent) == (DownloadStep.SUCCEEDED, report.bytes_total, {})
    assert_complete(store)


def test_a_card_that_was_edited_makes_no_other_model(hub: HubServer, store: Path) -> None:
    download(hub, store)
    hub.repositories["acme/tiny"].commit({**FILES, "README.md": b"# Tiny, with more words"})
    assert download(hub, store, name="again").phase == DownloadStep.SUCCEEDED
    assert_complete(store)


def test_a_model_that_was_fetched_without_its_card_is_there(hub: HubServer, store: Path) -> None:
    request = Request("acme/tiny", "main", "tiny", Selection(exclude=["README.md"]))
    DownloadAttempt(request, HubAccess(hub.url, None), store, 0, ProgressTracker()).run("tiny")
    assert content(store / "tiny").keys() == TAKEN - {"README.md"}
    assert download(hub, store, name="again").phase == DownloadStep.SUCCEEDED


def test_other_content_is_never_overwritten(hub: HubServer, store: Path) -> None:
    download(hub, store)
    hub.repository("acme/other").commit({**FILES, "model.safetensors": b"other" * 1000})
    with pytest.raises(DestinationTakenError, match="holds other files"):
        download(hub, store, name="other", repository="acme/other")
    assert_complete(store)


def test_what_a_person_put_there_is_never_overwritten(hub: HubServer, store: Path) -> None:
    (store / "tiny").mkdir()
    (store / "tiny/model.gguf").write_bytes(b"mine")
    with pytest.raises(DestinationTakenError, match="no download put there"):
        download(hub, store)
    assert content(store / "tiny") == {"model.gguf": b"mine"}
