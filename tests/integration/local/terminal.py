"""`berth` in a real terminal, as somebody types at it."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import pexpect

from tests.waiting import PATIENCE_SECONDS

BERTH = str(Path(sys.executable).with_name("berth"))
CTRL_C = "\x03"
CLEARED = "\x1b[H\x1b[J"
"""What has a terminal forget all that it shows."""


class Terminal:
    """A command in a terminal of its own. Use as a context: at its end the command is gone."""

    def __init__(self, environment: Mapping[str, str], *arguments: str, columns: int = 80) -> None:
        # The variables would be believed before the terminal is, and pytest has set them.
        mine = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self._child: pexpect.spawn[str] = pexpect.spawn(
            BERTH,
            list(arguments),
            env=cast("Any", {**mine, "NO_COLOR": "1", "TERM": "xterm"}),
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            dimensions=(40, columns),
        )
        self._before = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
        self._child.close()

    def sees(self, text: str) -> None:
        """Waits until the terminal shows the text. Raises pexpect.TIMEOUT and pexpect.EOF."""
        self._child.expect_exact(text)
        self._before += f"{self._child.before}{text}"

    def types(self, keys: str) -> None:
        """Types the keys."""
        self._child.send(keys)

    def becomes(self, columns: int) -> None:
        """Makes the terminal so wide."""
        cast("Any", self._child).setwinsize(40, columns)

    def ended(self) -> int:
        """Waits until the command has ended. Its exit code; that of a shell if a signal ended it."""
        self._child.expect(pexpect.EOF)
        self._before += cast("str", self._child.before)
        self._child.wait()
        code = self._child.exitstatus
        return code if code is not None else 128 + (self._child.signalstatus or 0)

    @property
    def shown(self) -> str:
        """All that it has shown until the last text that was waited for."""
        return self._before
