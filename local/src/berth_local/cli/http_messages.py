"""An HTTP request, and what comes of it, however it is sent: an answer, or an error."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

OnConnected = Callable[[socket.socket], None]


class NotReachedError(Exception):
    """There is no connection to the server. The message is the reason."""

    def __init__(self, reason: str, proxy: str | None = None) -> None:
        super().__init__(reason)
        self.proxy = proxy
        """The variable that names the proxy which should have led there. None: it is asked without one."""


class NotTrustedError(NotReachedError):
    """The server's certificate is not one that this machine trusts."""


class SilentError(Exception):
    """The server did not answer in time."""


class BrokenOffError(Exception):
    """The connection ended in the middle. The message is the reason."""


IN_THE_MIDDLE = "the connection ended in the middle"
NOT_HTTP = "what answers there does not speak HTTP"
"""Reasons of a BrokenOffError, in place of the words that libraries have for them."""


class HttpRequest(NamedTuple):
    """What is sent, and how long is waited."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    content: bytes | None
    seconds: float | None
    """The longest silence. None: any."""
    connect_seconds: float
    on_connected: OnConnected | None
    """Gets the socket of the connection."""


class HttpAnswer(Protocol):
    """What a server answers: its status, and the content, which is read once.

    Reading raises SilentError and BrokenOffError.
    """

    status: int

    def json(self) -> Any:
        """The content as JSON. Raises ValueError."""
        ...

    def lines(self) -> Iterator[str]:
        """Yields the lines as they come, without their ends."""
        ...


def reason_of(error: Exception) -> str:
    """Why there is no connection, or none any more, in words such as `connection refused`."""
    if isinstance(error, UnicodeError):  # of Python's codec for the names of hosts
        return "no host has such a name"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


class Transport(Protocol):
    """Sends requests to one server."""

    def ask(self, request: HttpRequest) -> AbstractContextManager[HttpAnswer]:
        """The answer. Leaving ends the connection. Raises NotReachedError, SilentError and BrokenOffError."""
        ...
