"""Runs a coding agent in this terminal, until it ends."""

import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from berth_local.cli.errors import FailedError
from berth_local.serve.interface import user_home

_INSTALLED_BESIDE_PATH = (".local/bin", ".claude/local", ".opencode/bin", ".npm-global/bin")
"""Folders of the home in which installers of agents put them, whether or not PATH has these."""


def find_program(name: str) -> str | None:
    """Where the program is; None where it is not installed."""
    places = [os.environ.get("PATH", os.defpath), *(str(user_home() / place) for place in _INSTALLED_BESIDE_PATH)]
    return shutil.which(name, path=os.pathsep.join(places))


def run_in_terminal(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs the command with this terminal. Its exit code; 128 and the signal's number where a signal ended it.

    Raises FailedError if it cannot be started.
    """
    try:
        process = subprocess.Popen(command, env=dict(environment))  # noqa: S603 (the user's own command)
    except OSError as error:
        raise FailedError(f"{command[0]} cannot be started: {error.strerror or error}") from None
    with process, _signals_of(process):
        code = process.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _signals_of(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Leaves Ctrl-C, which the terminal sends to both, to the process alone, and passes on what ends this one."""

    def leave(*_: object) -> None:
        """A handler, where to ignore the signal would have the process ignore it too."""

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    handlers = {signal.SIGINT: leave, signal.SIGTERM: pass_on, signal.SIGHUP: pass_on}
    with ExitStack() as stack:
        with suppress(ValueError):  # only a main thread hears signals
            for number, handler in handlers.items():
                stack.callback(signal.signal, number, signal.signal(number, handler))
        yield
