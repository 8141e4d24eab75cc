"""Finds the server that a command speaks to.

It is the one that the user names, else the one that runs on this machine, else one that the command starts for itself.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth_local.errors import FailedError, NoServerError, UsageError
from berth_local.output import print_note
from berth_local.serve.interface import StartError, default_store, running_server, serving_in_background

if TYPE_CHECKING:
    from berth_local.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"

_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Server:
    """What the command line and the environment say of the server."""

    url: str | None = None
    """BERTH_URL or --url; None: one on this machine."""
    api_key: str | None = None
    models: Path | None = None
    """A directory of models to serve, where the command serves by itself."""


def check_key(api_key: str | None) -> None:
    """Raises UsageError for an API key that no request can carry."""
    if api_key and not _KEY.fullmatch(api_key):
        raise UsageError("--api-key (or BERTH_API_KEY) has a character that no key can have: use letters and digits")


@contextmanager
def connect(server: Server) -> Generator["Client"]:
    """A client of the server that is named or that runs on this machine. Raises NoServerError where there is none."""
    from berth_local.client import Client  # noqa: PLC0415 (HTTP costs a third of a second, which --help need not wait for)

    url = server.url or find_running()
    if url is None:
        raise NoServerError(
            f"no server answers at {DEFAULT_URL}: `berth up` starts one, --url or BERTH_URL names another"
        )
    with Client(url, server.api_key) as client:
        yield client


@contextmanager
def connect_or_serve(server: Server) -> Generator["Client"]:
    """As `connect`; where no server is named and none runs, one that ends with the command."""
    if server.models is not None and server.url:
        raise UsageError(
            "--models serves a directory of this machine, which the server at --url does not see: leave one of them out"
        )
    if server.url or (server.models is None and find_running()):
        with connect(server) as client:
            yield client
        return
    from berth_local.client import Client  # noqa: PLC0415 (as above)

    try:
        with serving_in_background(server.models, _print_shared) as url, Client(url) as client:
            yield client
    except StartError as error:
        raise FailedError(str(error)) from None


def _print_shared() -> None:
    print_note("another command uses the server of this one, which ends when that has its answer; Ctrl-C ends it now")


def find_running() -> str | None:
    """The address of the server that runs on this machine, if one does."""
    from berth_local.client import is_berth  # noqa: PLC0415 (as above)

    candidates = dict.fromkeys([running_server() or DEFAULT_URL, DEFAULT_URL])
    return next((url for url in candidates if is_berth(url)), None)


def local_store(server: Server) -> Path:
    """The model store that a server of this machine uses. Raises UsageError where the user names a server."""
    if server.url:
        raise UsageError("--sample puts a model into this machine's store: leave --url out, and unset BERTH_URL")
    return server.models or default_store()
