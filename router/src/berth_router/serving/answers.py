"""The head of an answer as the client gets it."""

import time
from email.utils import formatdate
from http import HTTPStatus

from berth_router.serving.heads import BODILESS, Headers

CLIENT_LEFT = 499
"""The status, known from nginx, under which a client is counted that left before its answer began."""


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def header_lines(headers: Headers) -> bytes:
    """The lines of these headers."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def answer_head(
    status: int, headers: bytes, request_id: str, length: int | None, *, chunked: bool, closing: bool
) -> bytes:
    """The head of an answer. `headers`: its own lines; `length`: bytes of its body, None where that is not known."""
    framing = b""
    if chunked:
        framing = b"transfer-encoding: chunked\r\n"
    elif length is not None and status not in BODILESS:
        framing = b"content-length: %d\r\n" % length
    if closing:
        framing += b"connection: close\r\n"
    line = _STATUS_LINES.get(status) or _status_line(status)
    return b"%b%b%b%bx-request-id: %b\r\n\r\n" % (line, _date.line(), headers, framing, request_id.encode())


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
