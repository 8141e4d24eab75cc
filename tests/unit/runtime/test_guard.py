"""The guard of a Python engine: its program runs as ever, and its server answers only to the key."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from berth_runtime.guard import GuardedApp
from berth_runtime.main import GUARD

PROGRAM = """
import json, os, sys
import uvicorn
from errors import MINE

async def app(scope, receive, send):
    pass

def main():
    made = uvicorn.Config(app, port=1)
    made.load()
    json.dump([sys.argv, type(made.app).__name__, made.interface, made.port, os.environ.get("KEY")], sys.stdout)
    return 5
"""


async def asked(path: str, headers: list[tuple[bytes, bytes]], kind: str = "http") -> tuple[bool, list[Any]]:
    """Whether a request reached the application, and what the guard sent instead."""
    reached, sent = False, list[Any]()

    async def app(*_: object) -> None:
        nonlocal reached
        reached = True

    async def receive() -> Any:
        raise AssertionError("the guard reads no body")

    async def send(message: Any) -> None:
        sent.append(message)

    await GuardedApp(app, "k-123")({"type": kind, "path": path, "headers": headers}, receive, send)
    return reached, sent


@pytest.mark.parametrize(
    ("path", "headers", "reached"),
    [
        ("/v1/chat/completions", [], False),
        ("/v1/chat/completions", [(b"authorization", b"Bearer k-123")], True),
        ("/v1/chat/completions", [(b"authorization", b"Bearer k-12")], False),
        ("/v1/chat/completions", [(b"authorization", b"k-123")], False),
        ("/v1/chat/completions", [(b"authorization", b"Bearer k-123")] * 2, False),
        ("/v1/chat/completions", [(b"x-api-key", b"k-123")], False),
        ("/invocations", [], False),
        ("/tokenize", [], False),
        ("/health", [], True),
        ("/health/", [], False),
    ],
)
async def test_only_the_key_opens_an_engine(path: str, headers: list[tuple[bytes, bytes]], reached: bool) -> None:
    passed, sent = await asked(path, headers)
    assert passed is reached
    assert [message.get("status") for message in sent] == ([] if reached else [401, None])


async def test_a_websocket_needs_the_key_too() -> None:
    passed, sent = await asked("/v1/realtime", [], kind="websocket")
    assert not passed
    assert sent == [{"type": "websocket.close", "code": 1008}]


def run_guarded(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, GUARD, "KEY", program, "serve", "--port", "1"],
        env={**os.environ, "KEY": "k-123", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_program_runs_in_its_own_python_with_a_guarded_server(tmp_path: Path) -> None:
    (tmp_path / "an_engine.py").write_text(PROGRAM)
    (tmp_path / "errors.py").write_text("MINE = 1")  # a module beside the guard has the same name
    record = tmp_path / "an_engine-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: an-engine\nVersion: 1\n")
    (record / "entry_points.txt").write_text("[console_scripts]\nan-engine = an_engine:main\n")
    done = run_guarded(tmp_path, "an-engine")
    assert json.loads(done.stdout) == [["an-engine", "serve", "--port", "1"], "GuardedApp", "asgi3", 1, None]
    assert done.returncode == 5


def test_an_engine_that_is_not_installed_is_named(tmp_path: Path) -> None:
    done = run_guarded(tmp_path, "no-such-engine")
    assert done.returncode == 127
    assert "no-such-engine is not installed" in done.stderr
