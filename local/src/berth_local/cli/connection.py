"""Finds the server that a command speaks to.

It is the one that the user names, else the one that runs on this machine, else one that the command starts for itself.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth_local.cli.errors import FailedError, NoServerError, UsageError
from berth_local.cli.printing import print_note
from berth_local.serve.interface import StartError, default_store, running_server, serving_in_background

if TYPE_CHECKING:
    from berth_local.cli.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"


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

    url = target.url or find_running()
    if url is None:
        raise NoServerError(
            f"no server answers at {DEFAULT_URL}: `berth up` starts one, --url or BERTH_URL names another"
        )
    with Client(url, target.api_key) as client:
        yield client


@contextmanager
def connect_or_serve(target: Target) -> Generator["Client"]:
    """As `connect`, but starts a server that ends with the command where the user names none and none runs.

    Raises FailedError if that server cannot start.
    """
    if target.models is not None and target.url:
        raise UsageError(
            "--models serves a directory of this machine, which the server at --url does not see: leave one of them out"
        )
    if target.url or (target.models is None and find_running()):
        with connect(target) as client:
            yield client
        return
    from berth_local.cli.client import Client  # noqa: PLC0415 (as above)

    try:
        with serving_in_background(target.models, _print_shared) as url, Client(url) as client:
            yield client
    except StartError as error:
        raise FailedError(str(error)) from None


def _print_shared() -> None:
    print_note("another command uses the server of this one, which ends when that has its answer; Ctrl-C ends it now")


def find_running() -> str | None:
    """The address of the server that runs on this machine. None: no server runs."""
    from berth_local.cli.client import is_berth  # noqa: PLC0415 (as above)

    candidates = dict.fromkeys([running_server() or DEFAULT_URL, DEFAULT_URL])
    return next((url for url in candidates if is_berth(url)), None)


def local_store(target: Target) -> Path:
    """The model store that a server of this machine uses. Raises UsageError if the user names a server."""
    if target.url:
        raise UsageError("--sample puts a model into this machine's store: leave --url out, and unset BERTH_URL")
    return target.models or default_store()
