"""What a command says while it waits, where no terminal is."""

import io
import os
import pty
import re
import select

import pytest

from berth_local.cli.waiting import WaitingLine


def test_a_pipe_gets_one_line_of_what_goes_on_and_on() -> None:
    pipe = io.StringIO()
    with WaitingLine(pipe) as line:
        for reason in (
            "loading tiny (1 MB)",
            "tiny: installing vllm, once: about 6.0 GB, 30.0 GB free",
            "tiny: installing vllm, once: 3 of 90 packages fetched, 340 MB",
            "tiny: installing vllm, once: Prepared 90 packages in 95s",
            "waiting for memory: Third is answering (388 of 500 MB)",
            "loading tiny (1 MB)",
        ):
            line.show(reason)
    assert pipe.getvalue().splitlines() == [
        "loading tiny (1 MB)",
        "tiny: installing vllm, once: about 6.0 GB, 30.0 GB free",
        "waiting for memory: Third is answering (388 of 500 MB)",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 120])
def test_on_a_terminal_the_line_leaves_room_for_ctrl_c(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    with WaitingLine(terminal) as line:
        line.show("loading " + "a-very-long-name" * 20)
    lines = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", terminal.getvalue()).splitlines()
    assert columns - 4 <= max(map(len, lines)) <= columns - len("^C")


def test_a_terminal_that_only_prints_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen, its_end = pty.openpty()
    with open(its_end, "w") as terminal, WaitingLine(terminal) as line:  # noqa: PTH123 (it has no path)
        line.show("loading tiny (1 MB)")
        assert select.select([screen], [], [], 10)[0]
        assert os.read(screen, 100) == b"loading tiny (1 MB)\r\n"
    os.close(screen)
