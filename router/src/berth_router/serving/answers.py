"""The head of an answer as the client gets it."""

import time
from email.utils import formatdate
from http import HTTPStatus

from berth_router.serving.heads import BODILESS, Headers

CLIENT_LEFT = 499
"""The status, known from nginx, under which a client is counted that left before its answer began."""

_NOT_PASSED_ON = frozenset(
    {
        # Hop by hop, RFC 9110 section 7.6.1.
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # The router's own to say.
        b"access-control-allow-origin",
        b"content-length",
        b"date",
        b"server",
        b"x-request-id",
    }
)


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def passed_headers(headers: Headers) -> Headers:
    """An engine's headers that go on to the client."""
    return [pair for pair in headers if pair[0] not in _NOT_PASSED_ON]


def answer_head(status: int, headers: Headers, request_id: str, length: int | None, *, chunked: bool, closing: bool) -> bytes:
    """The head of an answer. `length`: bytes of its body; None where that is not known."""
    lines = [_STATUS_LINES.get(status) or _status_line(status), _date.line()]
    lines += [b"%b: %b\r\n" % pair for pair in headers]
    if chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length is not None and status not in BODILESS:
        lines.append(b"content-length: %d\r\n" % length)
    if closing:
        lines.append(b"connection: close\r\n")
    lines.append(b"x-request-id: %b\r\n\r\n" % request_id.encode())
    return b"".join(lines)


class _Date:
    """The header Date, made anew each second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        """The header's line."""
        second = int(time.time())
        if second != self._second:
            self._second, self._line = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _Date()
