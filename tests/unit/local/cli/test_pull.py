"""berth pull, where something speaks against the download."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.cli.conftest import run_command
from tests.unit.local.cli.other_server import answering

VERIFIED: dict[str, Any] = {"files": [], "downloadable": False, "free_bytes": None, "total_bytes": 0}
PENDING: dict[str, Any] = {
    "job_id": "1",
    "destination": "/models/tiny",
    "phase": "Pending",
    "reason": "WaitingForContainer",
    "message": "a Job",
    "bytes_total": None,
}


def failed(reason: str, message: str) -> dict[str, Any]:
    return {**PENDING, "phase": "Failed", "reason": reason, "message": message}


def server(answers: Mapping[str, list[tuple[int, dict[str, Any]]]]) -> AbstractContextManager[str]:
    """The address of a server that answers so, one after the other, by the last part of the path."""

    def answer(path: str) -> tuple[int, bytes]:
        status, told = answers[path.rpartition("/")[2]].pop(0)
        return status, json.dumps(told).encode()

    return answering(answer)


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("QuantizationNotFound", "the repository has no quantization NOSUCH", 3),
        ("InvalidSettings", "SSL_CERT_FILE is '/x': it must be a file", 2),
        ("NoSpace", "the store is full", 1),
    ],
)
def test_no_beginning_is_told_of_what_fails(
    monkeypatch: pytest.MonkeyPatch, reason: str, message: str, code: int
) -> None:
    monkeypatch.setattr("berth_local.cli.fetching._POLL_SECONDS", 0.01)
    answers = {
        "verify-repo": [(200, VERIFIED)],
        "download": [(200, PENDING)],
        "1": [(200, PENDING), (200, failed(reason, message))],
    }
    with server(answers) as url:
        done = run_command(("pull", "org/tiny:NOSUCH"), {"BERTH_URL": url})
    assert (done.code, done.err) == (code, f"berth: org/tiny:NOSUCH was not fetched: {message}\n")


def test_a_variable_of_the_server_that_is_wrong_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_this_machine(_: object) -> Path:
        return Path("/store")

    monkeypatch.setattr("berth_local.cli.commands.pull.store_of", on_this_machine)
    message = "SSL_CERT_FILE is '/x': it must be a file or a folder of certificates in PEM (No such file)"
    refusal = {"error": {"message": message, "type": "server_error", "code": "hub_setting_wrong"}}
    with server({"verify-repo": [(503, refusal)]}) as url:
        done = run_command(("pull", "org/tiny"), {"BERTH_URL": url})
    assert (done.code, done.err) == (2, f"berth: {message}\n")
