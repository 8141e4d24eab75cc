"""The heads of HTTP/1.1 messages, read strictly: what leaves room for two readings is refused.

llhttp (httptools) reads the lines. It is given a whole head and nothing else, so what it costs has a bound, and no byte
behind the head can be taken for a part of it. What it lets through and a proxy must not, is refused here: RFC 9112,
sections 3.2, 6.1 and 11.2.
"""

from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import httptools

HEAD_END = b"\r\n\r\n"
MAX_HEADERS = 200
"""Lines of a head. Browsers and SDKs send some twenty."""

_BODILESS = frozenset({204, 304})
"""Statuses of an answer that has no body: RFC 9110 section 6.4.1."""

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order in which they came."""


class HeadError(Exception):
    """The head is refused. `status` is what its sender is told, where it is a client."""

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
        """Bytes of the body; 0 where it is chunked, since nobody knows."""
        self.chunked = False
        self.http10 = False
        self.keep_alive = False
        self.expects_continue = False
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Takes a part of the target from the parser."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header from the parser."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hears from the parser that the head is whole."""
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
    request.method = parser.get_method().decode("ascii")
    request.fields = fields = dict(request.headers)
    version = parser.get_http_version()
    if version == "1.1":
        if b"host" not in fields:
            raise HeadError("The request has no Host header.")
        request.keep_alive = b"connection" not in fields or b"close" not in _tokens(fields[b"connection"])
    elif version == "1.0":
        request.http10 = True  # one request a connection: RFC 9112 section 9.3 leaves more to whoever wants it
    else:
        raise HeadError("This server speaks HTTP/1.1.", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if len(fields) != len(request.headers):
        _check_repeated(request.headers)
    _read_framing(request)
    if b"expect" in fields:
        if fields[b"expect"].lower() != b"100-continue":
            raise HeadError("The only expectation that is met is 100-continue.", HTTPStatus.EXPECTATION_FAILED)
        request.expects_continue = not request.http10
    _read_target(request)
    return request


def _check_repeated(headers: Headers) -> None:
    """Raises HeadError where a header came twice that must not, or where there are too many."""
    if len(headers) > MAX_HEADERS:
        raise HeadError(f"The request has more than {MAX_HEADERS} headers.", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
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


def _read_target(request: RequestHead) -> None:
    target = request.target
    if not target.startswith(b"/"):
        if target == b"*" or request.method == "CONNECT":
            raise HeadError("This server is no proxy: the request must name a path.")
        # The absolute form, which every server must take: RFC 9112 section 3.2.2.
        parts = urlsplit(target)
        request.target = target = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
    path = target.partition(b"?")[0] if b"?" in target else target
    try:
        request.path = unquote(path.decode("ascii"), errors="strict") if b"%" in path else path.decode("ascii")
    except UnicodeDecodeError as error:
        raise HeadError("The path is not UTF-8.") from error


def _tokens(value: bytes) -> set[bytes]:
    return {token.strip() for token in value.lower().split(b",")}


class ResponseHead:
    """The head of an engine's answer."""

    __slots__ = ("_whole", "chunked", "fields", "headers", "keep_alive", "length", "status")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.fields: dict[bytes, bytes] = {}
        """The headers by name; of one that came twice, the last."""
        self.status = 0
        self.length: int | None = None
        """Bytes of the body; None where it is chunked, or ends with the connection."""
        self.chunked = False
        self.keep_alive = False
        self._whole = False

    @property
    def streams_events(self) -> bool:
        """Whether the body is server-sent events."""
        return self.fields.get(b"content-type", b"").startswith(b"text/event-stream")

    @property
    def interim(self) -> bool:
        """Whether another head follows: RFC 9110 section 15.2."""
        return self.status < 200

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header from the parser."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hears from the parser that the head is whole."""
        self._whole = True

    def complete(self, parser: httptools.HttpResponseParser) -> None:
        """Reads what the lines mean. Raises HeadError."""
        if not self._whole:
            raise HeadError("its first line is not complete")
        self.status = parser.get_status_code()
        self.fields = fields = dict(self.headers)
        if len(fields) != len(self.headers):
            _check_repeated(self.headers)
        http11 = parser.get_http_version() == "1.1"
        tokens = _tokens(fields[b"connection"]) if b"connection" in fields else ()
        self.keep_alive = b"close" not in tokens if http11 else b"keep-alive" in tokens
        if self.status < 200 or self.status in _BODILESS:
            self.length = 0
        elif b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked" or not http11:
                raise HeadError("its transfer coding is not chunked")
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
    response.complete(parser)
    if response.status == 101:
        raise HeadError("it switches protocols")
    return response
