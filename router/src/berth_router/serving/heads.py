"""Reads the heads of HTTP/1.1 messages strictly: a head that could be read in two ways is refused.

llhttp (httptools) reads the lines. It gets a whole head and nothing else, so its cost has a bound, and it cannot take a
byte behind the head for a part of it. Some heads that llhttp accepts are refused here, because a proxy must not forward
them: RFC 9112, sections 3.2, 6.1 and 11.2.
"""

import re
from http import HTTPStatus
from urllib.parse import unquote

import httptools

HEAD_END = b"\r\n\r\n"
MAX_HEADERS = 200
"""Lines of a head. Browsers and SDKs send some twenty."""

BODILESS = frozenset({204, 304})
"""Statuses of an answer that has no body, and no length of one: RFC 9110 sections 6.4.1 and 8.6."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [0-9]{3}(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
"""The first line of an answer. llhttp reads RTSP's too, and lets control characters into the reason."""

_NOT_FORWARDED = frozenset(
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
        # The router states these itself.
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"content-length",
        b"date",
        b"server",
        b"x-accel-buffering",
        b"x-request-id",
    }
)
"""Headers of an engine's answer that the client does not get."""

_ABSOLUTE_TARGET = re.compile(
    rb"https?://(?:\[[0-9a-f:.]+\]|[\w.~%!$&'()*+,;=@-]+)(?::[0-9]*)?(/[^?]*)?(\?.*)?",
    re.IGNORECASE,
)
"""A target in the absolute form, which every server must take: RFC 9112 section 3.2.2. Its host is ignored."""

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order in which they came."""


class HeadError(Exception):
    """The head is refused. `status` is the HTTP status of the answer, where the head is a client's."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


class RequestHead:
    """The head of a request."""

    __slots__ = (
        "_url",
        "chunked",
        "expects_continue",
        "fields",
        "headers",
        "http10",
        "keep_alive",
        "length",
        "method",
        "path",
        "route",
        "target",
    )

    def __init__(self) -> None:
        self.headers: Headers = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name; of one that came twice, the last."""
        self.method = ""
        self.target = b""
        """Path and query, as they came."""
        self.path = ""
        """The path, decoded."""
        self.length = 0
        """Bytes of the body; 0 where it is chunked, and its length not known."""
        self.chunked = False
        self.http10 = False
        self.keep_alive = False
        self.expects_continue = False
        self.route: object = None
        """Where the dispatcher sends requests with this head; for the dispatcher alone."""
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Takes a part of the target from the parser."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header from the parser."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The parser calls this when the head is whole."""
        self.target = self._url


def parse_request_head(head: bytes) -> RequestHead:
    """The head in these bytes, which end with the first empty line. Raises HeadError."""
    request = RequestHead()
    parser = httptools.HttpRequestParser(request)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade that is not taken up is an ordinary request: RFC 9110 section 7.8
    except httptools.HttpParserInvalidMethodError as error:
        raise HeadError("The method is not one of HTTP's.", HTTPStatus.NOT_IMPLEMENTED) from error
    except httptools.HttpParserError as error:
        raise HeadError(f"The request is not valid HTTP/1.1: {error}.") from error
    if not request.target:
        raise HeadError("The request is not valid HTTP/1.1: its first line is not complete.")
    method = parser.get_method()
    request.method = method.decode("ascii")
    if b" \r\n" in head or b"\t\r\n" in head:
        request.headers = _without_white_space(request.headers)
    request.fields = fields = dict(request.headers)
    version = parser.get_http_version()
    if version == "1.1":
        if b"host" not in fields:
            raise HeadError("The request has no Host header.")
        request.keep_alive = b"connection" not in fields or b"close" not in _connection_tokens(request.headers)
    elif version == "1.0":
        request.http10 = True  # one request a connection: RFC 9112 section 9.3 requires no more
    else:
        raise HeadError("This server speaks HTTP/1.1.", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if not head.startswith(b"%b %b HTTP/" % (method, request.target)):
        # llhttp skips white space, and reads RTSP and ICE.
        raise HeadError("The request is not valid HTTP/1.1: its first line must be `METHOD TARGET HTTP/1.1`.")
    _check_names(request.headers, fields)
    _read_framing(request)
    if b"expect" in fields:
        if fields[b"expect"].lower() != b"100-continue":
            raise HeadError("The only expectation that is met is 100-continue.", HTTPStatus.EXPECTATION_FAILED)
        request.expects_continue = not request.http10
    _read_target(request)
    return request


def _check_names(headers: Headers, fields: dict[bytes, bytes]) -> None:
    """Raises HeadError for too many headers, or for one that came twice and must not."""
    if len(headers) > MAX_HEADERS:
        raise HeadError(f"There are more than {MAX_HEADERS} headers.", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    if len(fields) == len(headers):
        return
    names = [name for name, _ in headers]
    for name in (b"host", b"content-length", b"transfer-encoding", b"expect"):
        if names.count(name) > 1:
            raise HeadError(f"The header {name.decode()} came more than once.")


def _read_framing(request: RequestHead) -> None:
    fields = request.fields
    if b"transfer-encoding" in fields:
        if request.http10:
            raise HeadError("HTTP/1.0 has no Transfer-Encoding.")
        if fields[b"transfer-encoding"].lower() != b"chunked":
            raise HeadError("The only transfer coding that is read is chunked.", HTTPStatus.NOT_IMPLEMENTED)
        request.chunked = True
    elif length := fields.get(b"content-length"):
        # llhttp has checked that these are digits alone, of a number below 2^64.
        request.length = int(length)


def _plain(target: bytes) -> bytes:
    """The target with one slash before its path, and none after it: clients join a base URL and a path as they like."""
    path, mark, query = target.partition(b"?")
    return b"/" + path.strip(b"/") + mark + query


def _read_target(request: RequestHead) -> None:
    target = request.target
    if target == b"*" or request.method == "CONNECT":
        raise HeadError("This server is no proxy: the request must name a path.")
    if b"#" in target:
        raise HeadError("The target of the request has a fragment, which is its sender's own.")
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE_TARGET.fullmatch(target)
        if absolute is None:
            raise HeadError("The target of the request is neither a path nor a URL of HTTP.")
        request.target = target = (absolute[1] or b"/") + (absolute[2] or b"")
    if target.startswith(b"//") or b"/?" in target or target.endswith(b"/"):
        request.target = target = _plain(target)
    path = target.partition(b"?")[0] if b"?" in target else target
    try:
        request.path = unquote(path.decode("ascii"), errors="strict") if b"%" in path else path.decode("ascii")
    except UnicodeDecodeError as error:
        raise HeadError("The path is not UTF-8.") from error


def _without_white_space(headers: Headers) -> Headers:
    """The headers without white space behind their values: RFC 9110 section 5.5. llhttp leaves it there."""
    return [(name, value.rstrip(b" \t")) for name, value in headers]


def _connection_tokens(headers: Headers) -> set[bytes]:
    """The options of all Connection headers together."""
    return {token.strip() for name, value in headers if name == b"connection" for token in value.lower().split(b",")}


class ResponseHead:
    """The head of an engine's answer."""

    __slots__ = (
        "_complete",
        "chunked",
        "fields",
        "forwarded_lines",
        "headers",
        "keep_alive",
        "length",
        "status",
        "streams_events",
    )

    def __init__(self) -> None:
        self.headers: Headers = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name; of one that came twice, the last."""
        self.status = 0
        self.length: int | None = None
        """Bytes of the body; None where it is chunked, or ends with the connection."""
        self.chunked = False
        self.keep_alive = False
        self.streams_events = False
        """Whether the body is server-sent events."""
        self.forwarded_lines = b""
        """The lines that the client gets."""
        self._complete = False

    @property
    def bodiless(self) -> bool:
        """Whether the status allows no body, whatever length the head states."""
        return self.status in BODILESS

    @property
    def interim(self) -> bool:
        """Whether another head follows: RFC 9110 section 15.2."""
        return self.status < 200

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header from the parser."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The parser calls this when the head is whole."""
        self._complete = True

    def interpret(self, parser: httptools.HttpResponseParser, head: bytes) -> None:
        """Reads the lines' meaning. Raises HeadError."""
        if not self._complete:
            raise HeadError("its first line is not complete")
        self.status = parser.get_status_code()
        if not _STATUS_LINE.match(head) or self.status < 100:
            raise HeadError("its first line is not HTTP/1.1's")
        if b" \r\n" in head or b"\t\r\n" in head:
            self.headers = _without_white_space(self.headers)
        self.fields = fields = dict(self.headers)
        _check_names(self.headers, fields)
        http11 = head.startswith(b"HTTP/1.1")
        tokens = _connection_tokens(self.headers) if b"connection" in fields else ()
        self.keep_alive = b"close" not in tokens if http11 else b"keep-alive" in tokens
        self.streams_events = fields.get(b"content-type", b"").lower().startswith(b"text/event-stream")
        self.forwarded_lines = b"".join(
            [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] not in _NOT_FORWARDED]
        )
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or not http11):
            raise HeadError("its transfer coding is not chunked")
        if self.status < 200 or self.status in BODILESS:
            self.length = 0
        elif coding:
            self.chunked = True
        elif length := fields.get(b"content-length"):
            self.length = int(length)
        else:
            self.keep_alive = False  # it ends with the connection


def parse_response_head(head: bytes) -> ResponseHead:
    """The head in these bytes, which end with the first empty line. Raises HeadError, with a message for the log."""
    response = ResponseHead()
    parser = httptools.HttpResponseParser(response)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade as error:
        raise HeadError("it switches protocols") from error
    except httptools.HttpParserError as error:
        raise HeadError(str(error)) from error
    response.interpret(parser, head)
    if response.status == 101:
        raise HeadError("it switches protocols")
    return response


_LENGTH_LINE = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_MAX_LENGTH_DIGITS = 15


class KnownHead:
    """Recognizes a head that was read before, so that it need not be read again.

    The heads of one connection mostly differ in the body's length alone. So a head is known by the bytes before and
    after the digits of its Content-Length.
    """

    __slots__ = ("_after", "_after_size", "_before", "_before_size")

    def __init__(self, head: bytes) -> None:
        """`head` is whole, has one length at most, and ends with the empty line."""
        found = _LENGTH_LINE.search(head)
        self._before = head[: found.start(1)] if found else head
        self._after = head[found.end(1) :] if found else b""
        self._before_size, self._after_size = len(self._before), len(self._after)

    def body_length(self, data: bytes, end: int) -> int:
        """The body's length by the head in `data[:end]` where that is the known head; else -1.

        0 for a head without a length that is the very same.
        """
        after_at = end - self._after_size
        if not data.startswith(self._before) or not data.startswith(self._after, after_at):
            return -1
        digits = data[self._before_size : after_at]
        if digits.isdigit() and len(digits) <= _MAX_LENGTH_DIGITS:
            return int(digits)
        return 0 if not self._after and end == self._before_size else -1
