"""What uv says of an installation, and how far it is: read from what it draws on a terminal."""

import io
from itertools import count
from pathlib import Path

import pytest

from berth_local.engines.uv_output import UvOutput, run_uv

_UP = "\x1b[2A\r\x1b[2K\x1b[1B\r\x1b[2K\x1b[1A"
BEGINNING = "⠸ torch==2.9.1        \r\x1b[2KResolved 9 packages in 417ms\r\n⠋ Preparing packages... (0/0)    \r\x1b[2K"
FETCHING = (
    "⠙ Preparing packages... (5/9)        "
    "numpy                ------------------------------ 1.50 MiB/16.13 MiB     "
    "mpmath               ------------------------------ 523.63 KiB/523.63 KiB  " + _UP
)
LATER = (
    "⠙ Preparing packages... (6/9)        numpy                ------------------------------ 16.00 MiB/16.13 MiB "
    + _UP
)
PLACING = "Prepared 9 packages in 950ms\r\n███████░░░░░░░░░░░░░ [3/9] idna==3.20      \r\x1b[2K"
END = "Installed 9 packages in 93ms\r\n + certifi==2026.10.19\r\n + numpy==2.4.6\r\n"
"""As uv 0.13 draws them."""


@pytest.mark.parametrize(
    ("drawn", "progress"),
    [
        (BEGINNING, None),
        (BEGINNING + FETCHING, "5 of 9 packages fetched, 2 MB"),
        (BEGINNING + FETCHING + LATER, "6 of 9 packages fetched, 17 MB"),
        (BEGINNING + FETCHING + LATER + PLACING, "3 of 9 packages in place"),
        (BEGINNING + "░░░░░░░░░░░░░░░░░░░░ [0/0] \r\x1b[2K", None),
        ("something else (1/2)\r\n", None),
        (BEGINNING + FETCHING.replace("1.50 MiB/", "... MiB/"), "5 of 9 packages fetched, 536 kB"),
        (BEGINNING + FETCHING.replace("1.50 MiB/", "1.5.0 MiB/"), "5 of 9 packages fetched, 536 kB"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_how_far_it_is(drawn: str, progress: str | None, piece: int) -> None:
    uv = UvOutput()
    for at in range(0, len(drawn), piece):
        uv.feed(drawn[at : at + piece])
    assert uv.progress == progress


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_the_lines_that_stay_have_nothing_of_the_bars(piece: int) -> None:
    drawn, uv = BEGINNING + FETCHING + LATER + PLACING + END + "error: the last", UvOutput()
    lines = [line for at in range(0, len(drawn), piece) for line in uv.feed(drawn[at : at + piece])]
    assert [*lines, *uv.finish()] == [
        "Resolved 9 packages in 417ms",
        "Prepared 9 packages in 950ms",
        "Installed 9 packages in 93ms",
        " + certifi==2026.10.19",
        " + numpy==2.4.6",
        "error: the last",
    ]


def test_where_no_terminal_is_lines_tell_how_far_it_is(tmp_path: Path) -> None:
    script = tmp_path / "uv"
    script.write_text(f"#!/bin/sh\ntest -t 1 && printf '%s' '{FETCHING}'\necho {'x' * 500}; exit 3\n")
    script.chmod(0o755)
    output = io.StringIO()
    assert run_uv([str(script)], output, clock=count(step=5).__next__) == 3
    assert sorted(output.getvalue().splitlines()) == ["5 of 9 packages fetched, 2 MB", "x" * 500]


def test_whoever_has_ended_reading_leaves_no_uv_behind(tmp_path: Path) -> None:
    script = tmp_path / "uv"
    script.write_text("#!/bin/sh\necho hello; exec sleep 600\n")
    script.chmod(0o755)

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_uv([str(script)], Closed())
