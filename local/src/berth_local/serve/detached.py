"""A server that goes on when the command that starts it has ended: `berth up --detach`."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from berth_local.serve.foreground import serve_until_signal
from berth_local.serve.home import home_directory, wrong_home
from berth_local.serve.options import ServeOptions
from berth_local.serve.state import InUseError, StartError, WrongOptionError
from berth_process.settings_error import SettingsError

LOG_FILE = "server.log"
"""The file of the state folder that holds the log of such servers."""

_LARGEST_LOG_BYTES = 10_000_000
"""A log that is larger is begun anew with the next start. The one before is kept."""

_ERRORS = {error.__name__: error for error in (StartError, WrongOptionError, InUseError, SettingsError)}


def serve_detached(options: ServeOptions, log_level: str) -> tuple[str, int, Path]:
    """Starts a server in a process of its own, without a terminal. Its address, its pid and its log.

    Returns when it takes requests. Raises what starting it raises: StartError and SettingsError.
    """
    log = _opened_log(options.home or home_directory())
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _serve(options, log_level, log, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as told:  # noqa: PTH123 (it is a pipe)
        text = told.read()
    if not text:
        _, status = os.waitpid(pid, 0)
        how = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        raise StartError(f"the server {how} before it took requests; its log is {log}")
    answer: dict[str, Any] = json.loads(text)
    if error := answer.get("error"):
        os.waitpid(pid, 0)
        raise _ERRORS.get(error, StartError)(answer["message"])
    return answer["url"], pid, log


def _serve(options: ServeOptions, log_level: str, log: Path, writer: int) -> NoReturn:
    """What the new process does: it serves, and tells through the pipe when it does, or why it cannot."""
    code = 1
    try:
        _leave_terminal(log)
        serve_until_signal(options, log_level, lambda url: _tell(writer, url=url), _ignore_number)
        code = 0
    except (StartError, SettingsError) as error:
        _tell(writer, error=type(error).__name__, message=str(error))
    except BaseException as error:  # noqa: BLE001 (the command tells it)
        _tell(writer, error="StartError", message=f"the server failed ({error!r}); its log is {log}")
    finally:
        os._exit(code)


def _leave_terminal(log: Path) -> None:
    """Takes this process away from its terminal: into a session of its own, with a file to write to."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(file)


def _tell(writer: int, **answer: str) -> None:
    try:
        os.write(writer, json.dumps(answer).encode())
        os.close(writer)
    except OSError:
        pass  # the command has been ended, or has been told before


def _opened_log(home: Path) -> Path:
    log = home / LOG_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError as error:
        if wrong := wrong_home(home, error):
            raise wrong from None
        raise StartError(f"{home} cannot be used: {error.strerror}; BERTH_HOME names another directory") from None
    return log


_ignore_number: Callable[[int], None] = lambda _: None  # noqa: E731
