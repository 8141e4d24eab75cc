"""Finds the server that a command speaks to.

It is the one that the user names, else the one that runs with the user's state folder, else one that the command starts
for itself. It is never one of another folder or of another user.
"""

import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth_local.cli.errors import FailedError, NoServerError, NotNowError, UsageError
from berth_local.cli.printing import print_note
from berth_local.cli.waiting import WaitingLine
from berth_local.serve.interface import (
    InUseError,
    RunningServer,
    StartError,
    UseLock,
    WrongOptionError,
    default_store,
    holder,
    running_server,
    serving_in_background,
    use_lock,
)

if TYPE_CHECKING:
    from berth_local.cli.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where `berth up` serves unless it is told otherwise."""

_LOOK_SECONDS = 0.05
_SILENT_SECONDS = 1.0
"""So long a start may take before somebody is told that it is waited for."""

_START_SECONDS = 60.0
"""A server that takes longer to start, or to end, hangs."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server that the command line and the environment name."""

    url: str | None = None
    """--url or BERTH_URL. None: a server of this machine."""
    api_key: str | None = None
    models: Path | None = None
    """A folder of models. The command starts a server of its own for it."""


@contextmanager
def connect(target: Target) -> Generator["Client"]:
    """A client of the server that the user names, or of this machine's. Raises NoServerError if there is none."""
    # HTTP takes a third of a second to load, and --help need not wait for it.
    from berth_local.cli.client import Client  # noqa: PLC0415

    with ExitStack() as stack:
        url = target.url
        if url is None:
            running = _found(stack)
            if running is None:
                raise NoServerError(f"no server of yours runs: {_cure()}")
            url = running.url
        yield Client(url, target.api_key)


@contextmanager
def connect_or_serve(target: Target) -> Generator["Client"]:
    """As `connect`, but starts a server that ends with the command where the user names none and none runs.

    Of several commands that would start one at once, one does, and the others use it. Raises FailedError if that server
    cannot start.
    """
    if target.models is not None and target.url:
        raise UsageError(
            "--models serves a directory of this machine, which the server at --url does not see: leave one of them out"
        )
    if target.url:
        with connect(target) as client:
            yield client
        return
    from berth_local.cli.client import Client  # noqa: PLC0415 (as above)

    with ExitStack() as stack:
        yield Client(_running_or_own(stack, target), target.api_key)


def _running_or_own(stack: ExitStack, target: Target) -> str:
    """The address of the server that runs, else of one that this command starts."""
    while True:
        if running := _found(stack):
            _check_store(running, target.models)
            return running.url
        if own := _own_server(stack, target):
            return own


def _own_server(stack: ExitStack, target: Target) -> str | None:
    """The address of a server of this command. None: somebody else's runs."""
    try:
        return stack.enter_context(serving_in_background(target.models, _print_shared))
    except InUseError:
        return None
    except StartError as error:
        raise failure(error) from None


def _found(stack: ExitStack) -> RunningServer | None:
    """The server of the user's state folder, which does not end before the stack. None: none runs.

    Waits for one that starts or ends. Raises NotNowError if that takes too long.
    """
    with ExitStack() as until_found:
        lock = until_found.enter_context(use_lock())
        running = _looked(lock)
        if isinstance(running, _Busy):
            running = _waited_for(lock)
        if running:
            stack.push(until_found.pop_all())
        return running


class _Busy:
    """A server starts or ends."""


def _looked(lock: UseLock) -> RunningServer | _Busy | None:
    """The server that runs now. Holds the lock then, if that is possible."""
    if not lock.taken():
        return _Busy()
    running = running_server()
    return running if running or not holder() else _Busy()


def _waited_for(lock: UseLock) -> RunningServer | None:
    began = time.monotonic()
    with WaitingLine(sys.stderr) as line:
        while isinstance(running := _looked(lock), _Busy):
            lasted = time.monotonic() - began
            if lasted > _START_SECONDS:
                pid = (has := holder()) and has.pid
                raise NotNowError(f"a server (pid {pid}) has neither started nor ended for {_START_SECONDS:.0f} s")
            if lasted > _SILENT_SECONDS:
                line.show("waiting for a server that starts or ends")
            time.sleep(_LOOK_SECONDS)
    return running


def failure(error: StartError) -> UsageError | FailedError:
    """The error of a command whose server cannot start."""
    return UsageError(str(error)) if isinstance(error, WrongOptionError) else FailedError(str(error))


def _check_store(running: RunningServer, models: Path | None) -> None:
    """Raises FailedError if the server that runs has another store than the user wants."""
    if models is not None and models.resolve() != running.store.resolve():
        raise FailedError(
            f"--models {models}: a server runs already, at {running.url} (pid {running.pid}), and serves"
            f" {running.store}: `berth down` ends it"
        )


def _cure() -> str:
    """What to do where no server runs."""
    from berth_local.cli.client import is_berth  # noqa: PLC0415 (as above)

    if is_berth(DEFAULT_URL):
        return (
            f"one that is not yours answers at {DEFAULT_URL}: --url {DEFAULT_URL} uses it, `berth up -d` starts yours"
        )
    return "`berth up -d` starts one, --url or BERTH_URL names another"


def _print_shared() -> None:
    print_note("another command uses the server of this one, which ends when that has its answer; Ctrl-C ends it now")


def running_url() -> str | None:
    """The address of the server that runs with the user's state folder. None: none does. It waits for nothing."""
    running = running_server()
    return running.url if running else None


def store_of(client: "Client") -> Path | None:
    """The folder of models of the client's server. None: it is not this user's, on this machine."""
    running = running_server()
    return running.store if running and running.url == client.url else None


def local_store(target: Target) -> Path:
    """The model store that the server of this command uses. Raises UsageError if the user names a server."""
    if target.url:
        raise UsageError("--sample puts a model into this machine's store: leave --url out, and unset BERTH_URL")
    if target.models:
        return target.models
    with ExitStack() as stack:
        running = _found(stack)
    return running.store if running else default_store()
