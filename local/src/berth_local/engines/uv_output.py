"""What uv says of an installation, and how far it is.

Only on a terminal uv says how far it is: it draws bars there. So it gets one, of which nobody sees the bars. The lines
that stay are passed on as they are, and now and then a line such as `5 of 90 packages fetched, 340 MB` goes with them.
"""

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from berth_process.sizes import readable

PROGRESS_SECONDS = 2.0
"""How often it is told how far uv is: each line is kept in a log, and is one more write of a pod's status."""

_ROWS, _COLUMNS = 200, 120
"""Of the terminal. There is one row for each download, and uv has fifty at once."""

_READ_BYTES = 64 << 10

_COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE")
"""Variables that ask for colours, whatever NO_COLOR says."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_FETCHED = re.compile(r"Preparing packages\.\.\. \((\d+)/(\d+)\)")
_IN_PLACE = re.compile(r"[█░] \[(\d+)/(\d+)\] ")
_DOWNLOAD = re.compile(r"(\S+)\s+-{5,}\s+(\d+(?:\.\d+)?) ([KMG]i)?B/[\d.]+ (?:[KMG]i)?B")
_UNITS: Mapping[str, int] = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class UvOutput:
    """Reads what uv writes to a terminal without colours."""

    def __init__(self) -> None:
        self._rest = ""
        self._fetched: dict[str, float] = {}
        self._progress: str | None = None

    @property
    def progress(self) -> str | None:
        """How far uv is. None: it has not said, or what it says is not understood."""
        return self._progress

    def feed(self, text: str) -> list[str]:
        """Takes what uv has written since; the lines in it that stay."""
        *ended, rest = (self._rest + text).split("\n")
        for piece in ended:
            self._look(piece)
        # Whatever stands before a control sequence is complete.
        complete = rest.rfind("\x1b")
        self._look(rest[: max(complete, 0)])
        self._rest = rest[max(complete, 0) :]
        return [line for piece in ended if (line := _CONTROL.split(piece.rstrip("\r"))[-1]).strip()]

    def finish(self) -> list[str]:
        """The last line, where uv has not ended it."""
        return self.feed("\n")

    def _look(self, drawn: str) -> None:
        for name, amount, unit in _DOWNLOAD.findall(drawn):
            self._fetched[name] = max(self._fetched.get(name, 0.0), float(amount) * _UNITS[unit])
        if counts := _counts(_FETCHED, drawn):
            fetched = sum(self._fetched.values())
            self._progress = f"{counts} packages fetched" + (f", {readable(fetched)}" if fetched else "")
        if counts := _counts(_IN_PLACE, drawn):
            self._progress = f"{counts} packages in place"


def _counts(bar: re.Pattern[str], drawn: str) -> str | None:
    """Such as `5 of 90`, by the last such bar. None: there is none that has counted them."""
    found = bar.findall(drawn)
    done, whole = found[-1] if found else ("0", "0")
    return f"{done} of {whole}" if int(whole) else None


def run_uv(command: Sequence[str], output: TextIO | None, clock: Callable[[], float] = time.monotonic) -> int:
    """Runs uv; its exit code. `output`: where its words go; None: to stdout. `clock`: seconds.

    On a terminal it draws its own bars.
    """
    words = sys.stdout if output is None else output
    if words.isatty():
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT)  # noqa: S603
        return done.returncode
    terminal, its_end = pty.openpty()
    try:
        try:
            fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=its_end,
                stderr=its_end,
                env=_plain(os.environ),
            )
        finally:
            os.close(its_end)
        try:
            _pass_on(terminal, words, clock)
        except BaseException:  # nobody reads any more, or Ctrl-C: nobody would end it
            process.kill()
            raise
        finally:
            code = process.wait()
    finally:
        os.close(terminal)
    return code


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program whose words on a terminal are to have no colours."""
    kept = {name: value for name, value in environment.items() if name not in _COLOURS}
    return {**kept, "TERM": "xterm", "NO_COLOR": "1"}


def _pass_on(terminal: int, output: TextIO, clock: Callable[[], float]) -> None:
    """Prints what comes from the terminal, until nobody has its other end any more."""
    uv, decode = UvOutput(), codecs.getincrementaldecoder("utf-8")("replace").decode
    told, told_at = None, clock()
    while data := _read(terminal):
        for line in uv.feed(decode(data)):
            print(line, file=output, flush=True)
        if uv.progress != told and clock() - told_at >= PROGRESS_SECONDS:
            told, told_at = uv.progress, clock()
            print(told, file=output, flush=True)
    for line in uv.finish():
        print(line, file=output, flush=True)


def _read(terminal: int) -> bytes:
    """What has come; nothing at the end."""
    try:
        return os.read(terminal, _READ_BYTES)
    except OSError:  # EIO is Linux's word for the end
        return b""
