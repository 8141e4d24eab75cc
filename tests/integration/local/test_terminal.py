"""What somebody sees who presses Ctrl-C: at a server, and at a command that serves by itself."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.local.engine import install
from tests.integration.local.terminal import CLEARED, CTRL_C, Terminal
from tests.unit.runtime.model_files import put

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a terminal here is one of POSIX")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """That of a user with a model, and with the engine of these tests."""
    put(tmp_path / "home" / "models" / "tiny", "tiny-Q4_K_M.gguf")
    install(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    yield {**os.environ, "BERTH_HOME": str(tmp_path / "home"), "PATH": path, "BERTH_LOG_LEVEL": "WARNING"}
    assert not (tmp_path / "home" / "berth.json").exists()
    assert not (tmp_path / "home" / "run").exists()


@pytest.mark.parametrize("columns", [60, 120])
def test_ctrl_c_ends_an_answer_of_a_command_that_serves_by_itself(environment: dict[str, str], columns: int) -> None:
    with Terminal(environment, "run", "tiny", "on and on", columns=columns) as command:
        command.sees("Par")
        command.sees("and on")
        command.types(CTRL_C)
        assert command.ended() == 130
    assert "Traceback" not in command.shown


def test_the_first_ctrl_c_at_a_server_says_what_it_waits_for_and_the_second_ends_it(
    environment: dict[str, str],
) -> None:
    environment["BERTH_DRAIN_SECONDS"] = "600"
    with Terminal(environment, "up", "--port", "0") as server:
        server.sees("Ctrl-C ends it.")
        with Terminal(environment, "run", "tiny", "on and on") as asked:
            asked.sees("and on")
            server.types(CTRL_C)
            server.sees("ending: 1 answer still runs; Ctrl-C again ends it now")
            server.types(CTRL_C)
            server.sees("\rBerth has ended.")
            assert server.ended() == 0
            assert asked.ended() == 6
    assert "berth: This server ends." in asked.shown
    assert "Traceback" not in server.shown + asked.shown


@pytest.mark.parametrize("columns", [60, 120])
def test_ps_goes_on_showing_what_runs(environment: dict[str, str], columns: int) -> None:
    with Terminal(environment, "up", "--port", "0") as server:
        server.sees("Ctrl-C ends it.")
        with Terminal(environment, "ps", "-w", columns=columns) as watching:
            watching.sees("no model runs")
            with Terminal(environment, "run", "tiny", "Hi") as asked:
                assert asked.ended() == 0
            watching.sees("tiny")
            watching.sees("Ready")
            watching.types(CTRL_C)
            assert watching.ended() == 130
        assert "Traceback" not in watching.shown
        server.types(CTRL_C)
        assert server.ended() == 0


def test_ps_leaves_nothing_of_what_has_gone_and_follows_the_terminal(environment: dict[str, str]) -> None:
    environment.pop("PYTHONUNBUFFERED", None)
    with Terminal(environment, "up", "--port", "0") as server:
        server.sees("Ctrl-C ends it.")
        with Terminal(environment, "run", "tiny", "Hi") as asked:
            assert asked.ended() == 0
        with Terminal(environment, "ps", "-w", columns=160) as watching:
            watching.sees("tiny-")
            watching.becomes(60)
            watching.sees(f"{CLEARED}MODEL")
            with Terminal(environment, "stop", "tiny") as asked:
                assert asked.ended() == 0
            watching.sees(f"{CLEARED}no model runs")
        server.types(CTRL_C)
        assert server.ended() == 0


def test_ctrl_d_ends_a_conversation_whose_model_still_loads(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "llama-server").write_text("#!/bin/sh\nexec sleep 1000\n")
    with Terminal(environment, "run", "tiny") as conversation:
        conversation.sees(">>>")
        conversation.types("\x04")
        assert conversation.ended() == 0
    assert "another command" not in conversation.shown
