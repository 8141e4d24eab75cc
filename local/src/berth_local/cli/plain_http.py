"""HTTP to a server of this machine: h11 on a socket. Python's own client takes twice as long to load."""

import json
import re
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import h11

from berth_local.cli.http_messages import (
    IN_THE_MIDDLE,
    NOT_HTTP,
    BrokenOffError,
    HttpRequest,
    NotReachedError,
    SilentError,
)

_PIECE_BYTES = 65_536
_PORT = 80

T = TypeVar("T")


class PlainHttp:
    """A Transport without encryption and without proxies. `url`: the server's address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or _PORT)
        self._host = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path

    @contextmanager
    def ask(self, request: HttpRequest) -> Generator["_PlainAnswer"]:
        """The answer."""
        fields = {"Host": self._host, "Connection": "close", **request.headers}
        if request.content is not None:
            fields["Content-Length"] = str(len(request.content))
        head = h11.Request(method=request.method, target=self._prefix + request.path, headers=list(fields.items()))
        body = [h11.Data(data=request.content)] if request.content else []
        try:
            connection = socket.create_connection(self._address, request.connect_seconds)
        except OSError as error:
            raise NotReachedError(str(error)) from None
        with connection:
            connection.settimeout(request.seconds)
            if request.on_connected:
                request.on_connected(connection)
            exchange = _Exchange(connection)
            exchange.send(head, *body, h11.EndOfMessage())
            yield _PlainAnswer(exchange)


class _Exchange:
    """One request and its answer on a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._protocol = h11.Connection(our_role=h11.CLIENT)

    def send(self, *events: h11.Event) -> None:
        data = b"".join(self._protocol.send(event) or b"" for event in events)
        _telling(lambda: self._connection.sendall(data))

    def event(self) -> Any:
        """The next event of the answer."""
        while (event := _telling(self._protocol.next_event)) is h11.NEED_DATA:
            self._protocol.receive_data(_telling(lambda: self._connection.recv(_PIECE_BYTES)))
        return event


class _PlainAnswer:
    """An HttpAnswer."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        while isinstance(head := exchange.event(), h11.InformationalResponse):
            pass
        if not isinstance(head, h11.Response):
            raise BrokenOffError("the server left without an answer")
        self.status = head.status_code

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(b"".join(self._content()))

    def lines(self) -> Iterator[str]:
        """Yields the lines as they come."""
        rest = b""
        for data in self._content():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(_text, lines)
        if rest:
            yield _text(rest)

    def _content(self) -> Iterator[bytes]:
        while isinstance(event := self._exchange.event(), h11.Data):
            yield bytes(event.data)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _telling(action: Callable[[], T]) -> T:
    """What the action returns. Its errors become those of berth_local.cli.http_messages."""
    try:
        return action()
    except TimeoutError:
        raise SilentError from None
    except h11.RemoteProtocolError as error:
        early = re.match("peer |.* ConnectionClosed ", str(error))
        raise BrokenOffError(IN_THE_MIDDLE if early else NOT_HTTP) from None
    except OSError as error:
        raise BrokenOffError(str(error) or type(error).__name__) from None
