"""A command whose stdout takes nothing: closed, full, or read by somebody who has read enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BERTH = Path(sys.executable).with_name("berth")


@pytest.mark.parametrize(
    ("shell", "code", "told"),
    [
        ('"$BERTH" version >&-', 0, ""),
        ('"$BERTH" version >/dev/full', 1, "berth: what it prints cannot be written: No space left on device\n"),
        ('"$BERTH" --help >/dev/full', 1, "berth: what it prints cannot be written: No space left on device\n"),
        ('"$BERTH" ps --url http://127.0.0.1:1 2>&-', 4, ""),
    ],
)
def test_it_is_told_in_one_line(shell: str, code: int, told: str) -> None:
    ran = subprocess.run(
        ["sh", "-c", shell], env={**os.environ, "BERTH": str(BERTH)}, check=False, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (code, told)
