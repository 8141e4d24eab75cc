"""How an answer is shown: on a terminal, and in a pipe."""

import io

import pytest

from berth_local.cli.chat.screen import Screen

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def shown(width: int | None, *pieces: str) -> str:
    """What is written for these pieces; those after "?" are thoughts."""
    stream = io.StringIO()
    screen = Screen(stream, width)
    for piece in pieces:
        if piece.startswith("?"):
            screen.thought(piece[1:])
        else:
            screen.text(piece)
    screen.end()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("pieces", "screen"),
    [
        (["Par", "is."], "Paris.\n"),
        (["Paris.\n"], "Paris.\n"),
        ([], ""),
        (["?\nhm", "?m", "\n\n", "Paris."], f"{DIM}hm{PLAIN}{DIM}m{PLAIN}\n\nParis.\n"),
        (["?hm"], f"{DIM}hm{PLAIN}\n"),
        (["\x1b[31mred\x07\x9b2J\r\n\tx\ry"], "\u241b[31mred\u2407\ufffd2J\n\tx\u240dy\n"),
        (["\x1b", "]0;title\x07"], "\u241b]0;title\u2407\n"),
    ],
)
def test_a_terminal_shows_thoughts_dimmed_and_obeys_no_model(pieces: list[str], screen: str) -> None:
    assert shown(60, *pieces) == screen


def test_a_pipe_gets_the_answer_as_the_model_made_it_and_no_thoughts() -> None:
    assert shown(None, "?hm", "\x1b[31mred", "\r\n") == "\x1b[31mred\r\n"
