"""The bytes of an answer's head, and of an error's answer, as the client gets them."""

import time
from email.utils import formatdate
from http import HTTPStatus

import orjson

from berth_router.errors import APIError, Dialect
from berth_router.serving.heads import BODILESS

CLIENT_LEFT = 499
"""The status, known from nginx, under which the metrics count a request whose client left before its answer began."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

JSON_TYPE = b"content-type: application/json\r\n"


def answer_head(
    status: int, headers: bytes, request_id: str, length: int | None, *, chunked: bool, closes: bool
) -> bytes:
    """The head of an answer. `headers`: its own lines. `length`: bytes of the body; None where that is not known.

    `closes`: the connection ends after the answer.
    """
    framing = b""
    if chunked:
        framing = b"transfer-encoding: chunked\r\n"
    elif length is not None and status not in BODILESS:
        framing = b"content-length: %d\r\n" % length
    if closes:
        framing += b"connection: close\r\n"
    line = _STATUS_LINES.get(status) or _status_line(status)
    return b"%b%b%b%bx-request-id: %b\r\n\r\n" % (line, _date.line(), headers, framing, request_id.encode())


def error_answer(error: APIError, dialect: Dialect = Dialect.OPENAI) -> tuple[bytes, bytes]:
    """An error as an answer: the lines of its headers, and its body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in error.headers().items())
    return JSON_TYPE + lines.encode(), orjson.dumps(error.content(dialect))


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}


class _DateHeader:
    """The header Date, made anew each second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._line = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _DateHeader()
