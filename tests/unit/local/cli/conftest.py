"""The command against a real router on loopback."""

import asyncio
import io
import os
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TextIO
from unittest.mock import patch

import orjson
import pytest

from berth_local.cli.app import exit_code
from tests.unit.router.conftest import Serving, engine, ready, serving, settings

__all__ = ["engine", "ready", "serving", "settings"]


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """What it printed for programs."""
        return orjson.loads(self.out)


class _OfThisThread(io.TextIOWrapper):
    """What the thread that made it writes. The router shares the process, and its log goes where it went before."""

    def __init__(self, others: TextIO) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", errors="surrogateescape", write_through=True)
        self._thread = threading.get_ident()
        self._others = others

    def getvalue(self) -> str:
        """What has been written."""
        return self._bytes.getvalue().decode(errors="surrogateescape")

    def write(self, text: str, /) -> int:
        return super().write(text) if threading.get_ident() == self._thread else self._others.write(text)


NOWHERE = "http://127.0.0.1:9"


def run_command(
    arguments: tuple[str, ...], environment: dict[str, str], stdin: str | bytes = "", usual_url: str = NOWHERE
) -> Ran:
    """Runs `berth` in this process; its streams are no terminals. `usual_url`: where servers are by default."""
    out, err = _OfThisThread(sys.stdout), _OfThisThread(sys.stderr)
    content = stdin if isinstance(stdin, bytes) else stdin.encode()
    held = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch("sys.stdin", held),
        patch.dict(os.environ, environment),
        # Whoever runs the tests may have a server of theirs at the real one.
        patch("berth_local.cli.connection.DEFAULT_URL", usual_url),
    ):
        code = exit_code(list(arguments))
    return Ran(code, out.getvalue(), err.getvalue())


class Command:
    """The command, given the address of a server."""

    def __init__(self, environment: dict[str, str], usual_url: str = NOWHERE) -> None:
        self.environment = environment
        self._usual_url = usual_url

    async def __call__(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        return await asyncio.to_thread(run_command, arguments, self.environment, stdin, self._usual_url)


@pytest.fixture
def berth(serving: Serving) -> Command:
    return Command({"BERTH_URL": f"http://127.0.0.1:{serving.port}"})
