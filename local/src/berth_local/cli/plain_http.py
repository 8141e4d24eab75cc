"""HTTP to a server of this machine, without encryption and without proxies."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from berth_local.cli.http_exchange import ExchangedAnswer
from berth_local.cli.http_messages import HttpRequest, NotReachedError, reason_of

_PORT = 80


class PlainHttp:
    """A Transport. `url`: the server's address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or _PORT)
        self._host = parts.netloc
        self._prefix = parts.path

    @contextmanager
    def ask(self, request: HttpRequest) -> Generator[ExchangedAnswer]:
        """The answer."""
        with connected(self._address, request.connect_seconds) as connection:
            connection.settimeout(request.seconds)
            if request.on_connected:
                request.on_connected(connection)
            target, headers = self._prefix + request.path, {"Host": self._host, **request.headers}
            yield ExchangedAnswer(connection, request.method, target, headers, request.content)


def connected(address: tuple[str, int], seconds: float) -> socket.socket:
    """A connection to this host and port. Raises NotReachedError."""
    try:
        return socket.create_connection(address, seconds)
    except (OSError, UnicodeError) as error:
        raise NotReachedError(reason_of(error)) from None
