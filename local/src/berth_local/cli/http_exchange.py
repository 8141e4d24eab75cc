"""A request and its answer on a connection that is there: h11 on a socket.

h11 is strict, and loads in half the time of Python's own client.
"""

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import h11

from berth_local.cli.http_messages import IN_THE_MIDDLE, NOT_HTTP, BrokenOffError, SilentError, reason_of

_PIECE_BYTES = 65_536

T = TypeVar("T")


class ExchangedAnswer:
    """An HttpAnswer to this request, which is sent first. Raises SilentError and BrokenOffError."""

    def __init__(
        self, connection: socket.socket, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> None:
        self._connection = connection
        self._protocol = h11.Connection(our_role=h11.CLIENT)
        self._left = False
        """Whether the server has said all that it says."""
        sized = {} if content is None else {"Content-Length": str(len(content))}
        fields = {"Connection": "close", **headers, **sized}
        head = h11.Request(method=method, target=target, headers=list(fields.items()))
        body = [h11.Data(data=content)] if content else []
        self._send(head, *body, h11.EndOfMessage())
        while isinstance(answer := self._event(), h11.InformationalResponse):
            pass
        if not isinstance(answer, h11.Response):
            self._break_off()
        self.status = answer.status_code

    def json(self) -> Any:
        """The content as JSON. Raises ValueError."""
        return parsed(b"".join(self._content()))

    def lines(self) -> Iterator[str]:
        """Yields the lines as they come."""
        rest = b""
        for data in self._content():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(_text, lines)
        if rest:
            yield _text(rest)

    def _content(self) -> Iterator[bytes]:
        while isinstance(event := self._event(), h11.Data):
            yield bytes(event.data)

    def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._protocol.send(event) or b"" for event in events)
        try:
            self._connection.sendall(data)
        except TimeoutError:
            raise SilentError from None
        except OSError:
            pass  # who refuses a long request may answer and leave before it has come: reading tells

    def _event(self) -> Any:
        """The next event of the answer."""
        while (event := self._parsed()) is h11.NEED_DATA:
            self._protocol.receive_data(_telling(self._received))
        return event

    def _received(self) -> bytes:
        data = self._connection.recv(_PIECE_BYTES)
        self._left = not data
        return data

    def _parsed(self) -> Any:
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError:
            self._break_off()

    def _break_off(self) -> NoReturn:
        raise BrokenOffError(IN_THE_MIDDLE if self._left else NOT_HTTP) from None


def parsed(content: str | bytes) -> Any:
    """The value of this JSON. Raises ValueError."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _telling(action: Callable[[], T]) -> T:
    """What the action returns. Its errors become those of berth_local.cli.http_messages."""
    try:
        return action()
    except TimeoutError:
        raise SilentError from None
    except OSError as error:
        raise BrokenOffError(reason_of(error)) from None
