"""Heads of requests: what the router reads and refuses, and that a strict parser agrees."""

from urllib.parse import urlsplit

import h11
import pytest
from hypothesis import given, settings

from berth_router.serving.heads import MAX_HEADERS, HeadError, RequestHead, parse_request_head
from tests.unit.examples import examples
from tests.unit.serving.nearly import nearly, parts

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def head(fields: bytes, line: bytes = b"POST / HTTP/1.1") -> bytes:
    return line + b"\r\nHost: x\r\n" + fields + b"\r\n"


REFUSED_FRAMING = [
    # RFC 9112 section 11.2: a length and a coding, and lengths that two readers could read differently.
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5,\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 1_0\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length: 5.0\r\n",
    b"Content-Length: 5\x0b\r\n",
    b"Content-Length: \xd9\xa5\r\n",  # a five in Arabic, which int() would take
    b"Content-Length:\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 5\r\n\tTransfer-Encoding: chunked\r\n",
    # A coding that is not exactly the one that is read.
    b"Transfer-Encoding:\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: ,chunked\r\n",
    b"Transfer-Encoding: chunked,\r\n",
    b"Transfer-Encoding: chunked;x=y\r\n",
    b'Transfer-Encoding: "chunked"\r\n',
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: chunked\x0b\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    # Names that another reader could take for these.
    b"Content-Length : 5\r\n",
    b"Content-Length\t: 5\r\n",
    b"Content-Length\x00: 5\r\n",
    b"Content-Length\x0b: 5\r\n",
    b" Content-Length: 5\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding\xa0: chunked\r\n",
    b"X: \x7fTransfer-Encoding: chunked\r\n",
    # Lines that end otherwise, or go on in the next one.
    b"X: y\r\n z\r\n",
    b"X: y\r\n\tz\r\n",
    b"X:\r\n Transfer-Encoding: chunked\r\n",
    b"X: y\nContent-Length: 5\r\n",
    b"X: y\rContent-Length: 5\r\n",
    b"X: y\r\rContent-Length: 5\r\n",
    b"X: y\x00z\r\n",
    b"X: y\x01z\r\n",
    b"X y: z\r\n",
    b"X\xc3\xa4: z\r\n",
    b": z\r\n",
    b"no header\r\n",
    b"Host: x\r\n",
    b"Host: y\r\n",
    b"Expect: 100-continue\r\nExpect: 100-continue\r\n",
]


@pytest.mark.covers("400 invalid_http, 501, 505")
@pytest.mark.parametrize("fields", REFUSED_FRAMING)
def test_what_leaves_room_for_two_readings_is_refused(fields: bytes) -> None:
    with pytest.raises(HeadError):
        parse_request_head(head(fields))


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 505),  # HTTP/0.9
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/01.1", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/3.0", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTPS/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET / RTSP/1.1", 400),
        (b"SOURCE / ICE/1.0", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"PRI / HTTP/1.1", 400),
        (b"FOO / HTTP/1.1", 501),
        (b"get / HTTP/1.1", 501),
        (b"G\x00T / HTTP/1.1", 501),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 501),
        (b"GET /\tHTTP/1.1", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 501),
        (b"GET HTTP/1.1", 400),
        (b"GET foo HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"OPTIONS * HTTP/1.1", 400),
        (b"CONNECT example.org:443 HTTP/1.1", 400),
        (b"CONNECT / HTTP/1.1", 400),
        (b"CONNECT http://x/ HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET http://x/a#b HTTP/1.1", 400),
        (b"GET http://[::1/ HTTP/1.1", 400),
        (b"GET http://[x]/ HTTP/1.1", 400),
        (b"GET http:/x HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET ftp://x/y HTTP/1.1", 400),
        (b"GET /\xc3\xa4 HTTP/1.1", 400),
        (b"GET /?\xc3\xa4 HTTP/1.1", 400),
        (b"GET http://x/\xff HTTP/1.1", 400),
        (b"GET /%ff HTTP/1.1", 400),
        (b"GET /%e2%82 HTTP/1.1", 400),
        (b"GET /a\x00b HTTP/1.1", 400),
        (b"GET /a\x01b HTTP/1.1", 400),
        (b"GET /a\x7fb HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01", 501),  # TLS
    ],
)
def test_first_lines_that_are_refused(line: bytes, status: int) -> None:
    with pytest.raises(HeadError) as refused:
        parse_request_head(head(b"", line))
    assert refused.value.status == status


def test_refusals_with_a_status_of_their_own() -> None:
    for fields, status in (
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Expect: 200-ok\r\n", 417),
        (b"a: 1\r\n" * (MAX_HEADERS + 1), 431),
        (b"".join(b"a%d: 1\r\n" % number for number in range(MAX_HEADERS)), 431),  # and Host
    ):
        with pytest.raises(HeadError) as refused:
            parse_request_head(head(fields))
        assert refused.value.status == status


@pytest.mark.parametrize(
    "whole",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\rHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n",  # a second head within the first
        b"GET /\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\r\n\r\n",
        b"\n\r\n\r\n",
        b"\x00\r\n\r\n",
    ],
)
def test_heads_that_are_refused(whole: bytes) -> None:
    with pytest.raises(HeadError):
        parse_request_head(whole)


@pytest.mark.parametrize(
    ("line", "target", "path"),
    [
        (b"GET /a?b=c HTTP/1.1", b"/a?b=c", "/a"),
        (b"GET /?a?b HTTP/1.1", b"/?a?b", "/"),
        (b"GET /%61%2F%c3%a4 HTTP/1.1", b"/%61%2F%c3%a4", "/a/ä"),
        (b"GET /%00%0d%0a HTTP/1.1", b"/%00%0d%0a", "/\0\r\n"),
        (b"GET /%zz HTTP/1.1", b"/%zz", "/%zz"),
        (b"GET //x/y HTTP/1.1", b"/x/y", "/x/y"),
        (b"GET /../x HTTP/1.1", b"/../x", "/../x"),
        # The absolute form, which every server must take: RFC 9112 section 3.2.2.
        (b"GET http://x HTTP/1.1", b"/", "/"),
        (b"GET http://x?a HTTP/1.1", b"/?a", "/"),
        (b"GET http://other:81/a?b HTTP/1.1", b"/a?b", "/a"),
        (b"GET http://[::1]:81//a HTTP/1.1", b"/a", "/a"),
        (b"GET /x/?y=/ HTTP/1.1", b"/x?y=/", "/x"),
    ],
)
def test_targets(line: bytes, target: bytes, path: str) -> None:
    read = parse_request_head(head(b"", line))
    assert (read.target, read.path) == (target, path)


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        (b"", 0, False),
        (b"Content-Length: 0\r\n", 0, False),
        (b"Content-Length: 05\r\n", 5, False),
        (b"content-length:5 \t\r\n", 5, False),
        (b"CONTENT-LENGTH: 18446744073709551615\r\n", 2**64 - 1, False),
        (b"Content_Length: 5\r\n", 0, False),
        (b"Transfer-Encoding: chunked\r\n", 0, True),
        (b"Transfer-Encoding:\tCHUNKED \r\n", 0, True),
        (b"Transfer_Encoding: chunked\r\n", 0, False),
        (b"X:\r\nContent-Length: 5\r\n", 5, False),  # an empty value is not the next line's
        # An upgrade that is not taken up is an ordinary request, with all of its body.
        (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", 5, False),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", 0, True),
    ],
)
def test_framing(fields: bytes, length: int, chunked: bool) -> None:
    read = parse_request_head(head(fields))
    assert (read.length, read.chunked) == (length, chunked)


@pytest.mark.parametrize(
    ("whole", "keep_alive"),
    [
        (POST + b"\r\n", True),
        (POST + b"Connection: close\r\n\r\n", False),
        (POST + b"Connection: TE, Close\r\n\r\n", False),
        (POST + b"Connection: close\r\nConnection: TE\r\n\r\n", False),
        (POST + b"Connection: TE\r\nConnection: close\r\n\r\n", False),
        (POST + b"Connection: closed\r\n\r\n", True),
        (b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_who_keeps_the_connection(whole: bytes, keep_alive: bool) -> None:
    assert parse_request_head(whole).keep_alive is keep_alive


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    read = parse_request_head(head(b"Expect:  100-Continue \t\r\nX-Api-Key: a b \r\n"))
    assert read.expects_continue
    assert read.fields[b"x-api-key"] == b"a b"


def test_http_1_0_expects_nothing() -> None:
    assert not parse_request_head(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue


# -- beside another parser

BEGINNING = parts(
    [b"GET", b"POST", b"PUT", b"CONNECT", b"PRI"],
    [b" "],
    [b"/", b"/a?b", b"/%41", b"*", b"http://x/y", b"x:1"],
    [b" "],
    [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"RTSP/1.0"],
    [b"\r\n"],
    [b"Host"],
    [b": "],
    [b"x"],
    [b"\r\n"],
)


def read_by_h11(whole: bytes) -> h11.Request:
    """Raises RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(whole)
    event = connection.next_event()
    assert isinstance(event, h11.Request), event
    return event


def framing_by_h11(request: h11.Request) -> tuple[int, bool]:
    fields = dict(request.headers.raw_items())
    lowered = {name.lower(): value for name, value in fields.items()}
    return int(lowered.get(b"content-length", b"0")), b"transfer-encoding" in lowered


@settings(max_examples=examples(1000), deadline=None)
@given(nearly(BEGINNING))
def test_what_is_read_a_strict_parser_reads_alike(whole: bytes) -> None:
    try:
        ours: RequestHead = parse_request_head(whole)
    except HeadError:
        return
    theirs = read_by_h11(whole)
    assert ours.method.encode() == theirs.method
    target = theirs.target
    if not target.startswith(b"/"):
        absolute = urlsplit(target)
        target = (absolute.path or b"/") + (b"?" + absolute.query if b"?" in target else b"")
    path, mark, query = target.partition(b"?")
    # Clients put a base URL and a path together with a slash too many.
    assert ours.target == b"/" + path.strip(b"/") + mark + query
    assert (ours.length, ours.chunked) == framing_by_h11(theirs)
    assert ours.http10 == (theirs.http_version == b"1.0")
    assert ours.headers == [(name.lower(), value) for name, value in theirs.headers.raw_items()]
