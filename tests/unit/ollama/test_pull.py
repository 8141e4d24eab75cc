"""POST /api/pull: which download it is, and the lines of its progress."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from berth_api.model_download import DownloadPhase, ModelDownload, ModelDownloadSpec, ModelDownloadStatus
from berth_router.management.download_fields import SourceFields, checked_spec
from berth_router.ollama.errors import OllamaError
from berth_router.ollama.names import berth_name
from berth_router.ollama.pull import PullProgress, pull_call, success
from tests.unit.router.conftest import Serving

NAMES = [
    ("hf.co/bartowski/SmolLM2-GGUF:Q4_K_M", "bartowski/SmolLM2-GGUF", "Q4_K_M"),
    ("hf.co/bartowski/SmolLM2-GGUF:latest", "bartowski/SmolLM2-GGUF", None),
    ("huggingface.co/bartowski/SmolLM2-GGUF", "bartowski/SmolLM2-GGUF", None),
    ("bartowski/SmolLM2-GGUF:Q4_K_M", "bartowski/SmolLM2-GGUF", "Q4_K_M"),
    ("hf.co/bartowski/SmolLM2-GGUF:SmolLM2-Q8_0.gguf", "bartowski/SmolLM2-GGUF", "Q8_0"),
]


@pytest.mark.parametrize(("name", "url", "quantization"), NAMES)
def test_a_name_is_a_repository_and_a_quantization(name: str, url: str, quantization: str | None) -> None:
    call = pull_call({"model": name})
    assert (call.name, call.url, call.quantization, call.streams) == (name, url, quantization, True)


@pytest.mark.parametrize("name", [name for name, _, _ in NAMES if name.startswith("h")])
def test_what_was_pulled_is_found_by_the_same_name(name: str) -> None:
    call = pull_call({"model": name})
    spec = checked_spec(SourceFields(url=call.url, quantization=call.quantization), "https://huggingface.co")
    assert berth_name(name) == download(spec=spec).destination


def test_the_older_field_names_the_model_too() -> None:
    assert pull_call({"name": "a/b", "stream": False, "insecure": True}).streams is False


@pytest.mark.parametrize(
    "body",
    [{}, {"model": ""}, {"model": 1}, {"model": "llama3.2"}, {"model": "llama3.2:1b"}, {"model": "library/a"}, []],
)
def test_what_names_no_repository_is_refused(body: Any) -> None:
    with pytest.raises(OllamaError) as refused:
        pull_call(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"model": "hf.co/a"}, "`model`: 'a' is not a repository"),
        ({"name": "hf.co/a/b:<x>"}, "`name`: '<x>' is not a quantization"),
        ({"name": "llama3.2"}, "`name` must name a repository"),
    ],
)
async def test_a_refusal_names_the_field_that_was_sent(serving: Serving, body: Any, says: str) -> None:
    reply = await serving.raw("POST", "/api/pull", orjson.dumps(body))
    assert reply.status == 400
    assert orjson.loads(reply.body)["error"].startswith(says)


def test_the_refusal_of_a_name_of_ollamas_library_says_what_would_be_right() -> None:
    with pytest.raises(OllamaError, match=r"such as hf\.co/ORG/REPO"):
        pull_call({"model": "llama3.2"})


def download(spec: ModelDownloadSpec | None = None, **status: Any) -> ModelDownload:
    return ModelDownload(
        name="smollm2-0123456789",
        namespace="",
        uid="",
        resource_version="",
        generation=1,
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        deleting=False,
        labels={},
        spec=spec or ModelDownloadSpec(repository="bartowski/SmolLM2-GGUF"),
        status=ModelDownloadStatus(**status),
    )


def progress(*states: ModelDownload) -> list[dict[str, Any]]:
    lines = PullProgress()
    return [orjson.loads(line) for state in states for line in lines.lines(state).splitlines()]


def test_progress_goes_from_the_manifest_to_success() -> None:
    running: dict[str, Any] = {"phase": DownloadPhase.RUNNING, "bytes_total": 100}
    first, second, third, fourth, last = progress(
        download(),
        download(phase=DownloadPhase.PENDING),
        download(**running, bytes_done=10),
        download(**running, bytes_done=10),
        download(**running, bytes_done=60),
        download(phase=DownloadPhase.SUCCEEDED, bytes_total=100, bytes_done=100),
        download(phase=DownloadPhase.SUCCEEDED),
    )
    assert first == {"status": "pulling manifest"}
    assert [line["completed"] for line in (second, third, fourth)] == [10, 60, 100]
    assert all(line["total"] == 100 for line in (second, third, fourth))
    digest = second["digest"]
    assert len(digest) == len("sha256:") + 64
    assert second["status"] == f"pulling {digest[7:19]}"
    assert third["digest"] == fourth["digest"] == digest
    assert last == {"status": "success"}


def test_what_stands_in_the_way_is_told_while_it_does() -> None:
    trouble = "the hub cannot be used: it did not answer in time; tried again in 4 s"
    away: dict[str, Any] = {"phase": DownloadPhase.RUNNING, "reason": "HubUnavailable", "message": trouble}
    told = progress(
        download(phase=DownloadPhase.RUNNING, reason="Listing", message="the hub is asked"),
        download(**away),
        download(**away, bytes_total=100, bytes_done=10),
        download(phase=DownloadPhase.RUNNING, reason="Downloading", bytes_total=100, bytes_done=20),
    )
    assert [line["status"].partition(" ")[0] for line in told] == ["pulling", "the", "pulling"]
    assert told[1] == {"status": trouble}


def test_a_failure_is_an_error_and_the_end() -> None:
    failed = download(phase=DownloadPhase.FAILED, reason="NoSpace", message="The store is full.")
    assert progress(failed, failed, download()) == [{"error": "The store is full."}]


def test_a_download_that_is_gone_is_an_error() -> None:
    lines = PullProgress()
    assert orjson.loads(lines.gone()) == {"error": "The download was cancelled."}
    assert (lines.ended, lines.failed, lines.gone()) == (True, True, b"")


def test_a_model_that_is_there_already_is_a_success_at_once() -> None:
    assert progress(download(phase=DownloadPhase.SUCCEEDED))[-1] == orjson.loads(success())
