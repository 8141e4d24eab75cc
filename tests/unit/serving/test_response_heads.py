"""Heads of engines' answers: what the router reads and refuses, and that a strict parser agrees."""

import h11
import pytest
from hypothesis import given, settings

from berth_router.serving.heads import MAX_HEADERS, HeadError, ResponseHead, parse_response_head
from tests.unit.examples import examples
from tests.unit.serving.nearly import nearly, parts

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "whole",
    [
        b"\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",  # not an interim answer that another one follows
        b"HTTP/1.1 200 O\nK\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        *(
            OK + fields + b"\r\n"
            for fields in (
                b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                b"Content-Length: 5\r\nContent-Length: 5\r\n",
                b"Content-Length: 5\r\nContent-Length: 6\r\n",
                b"Content-Length: 5, 5\r\n",
                b"Content-Length: +5\r\n",
                b"Content-Length: 0x5\r\n",
                b"Content-Length:\r\n",
                b"Content-Length: 99999999999999999999\r\n",
                b"Transfer-Encoding:\r\n",
                b"Transfer-Encoding: gzip\r\n",
                b"Transfer-Encoding: xchunked\r\n",
                b"Transfer-Encoding: gzip, chunked\r\n",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                b"X: y\rSet-Cookie: z\r\n",  # a line more, for a reader who takes less for the end of one
                b"X: y\nSet-Cookie: z\r\n",
                b"X: y\r\n z\r\n",
                b"X: y\x00\r\n",
                b"X: y\x01\r\n",
                b"X : y\r\n",
                b"X y: z\r\n",
                b"no header\r\n",
                b"".join(b"a%d: 1\r\n" % number for number in range(MAX_HEADERS + 1)),
            )
        ),
    ],
)
def test_answers_that_are_refused(whole: bytes) -> None:
    with pytest.raises(HeadError):
        parse_response_head(whole)


@pytest.mark.parametrize(
    ("whole", "status", "length", "chunked", "keep_alive"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", 200, 5, False, True),
        (OK + b"content-length:5 \r\n\r\n", 200, 5, False, True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n", 200, None, True, True),
        (OK + b"\r\n", 200, None, False, False),  # until the connection is closed
        (OK + b"Content-Length: 5\r\nConnection: close\r\n\r\n", 200, 5, False, False),
        (OK + b"Content-Length: 5\r\nConnection: close\r\nConnection: x\r\n\r\n", 200, 5, False, False),
        (OK + b"Content-Length: 5\r\nConnection: x, Close\r\n\r\n", 200, 5, False, False),
        (OK + b"Content-Length: 5\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200, 5, False, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, 5, False, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", 200, 5, False, True),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", 200, 5, False, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, False, True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, 0, False, True),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, 0, False, True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, 0, False, True),
        (b"HTTP/1.1 599 What\r\nContent-Length: 0\r\n\r\n", 599, 0, False, True),
    ],
)
def test_answers(whole: bytes, status: int, length: int | None, chunked: bool, keep_alive: bool) -> None:
    read = parse_response_head(whole)
    assert (read.status, read.length, read.chunked, read.keep_alive) == (status, length, chunked, keep_alive)
    assert not read.interim


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_another_answer_follows_an_interim_one(status: int) -> None:
    assert parse_response_head(b"HTTP/1.1 %d Wait\r\nLink: x\r\nContent-Length: 5\r\n\r\n" % status).interim


@pytest.mark.parametrize(
    ("value", "streams"),
    [
        (b"text/event-stream", True),
        (b"text/event-stream; charset=utf-8", True),
        (b"Text/Event-Stream", True),
        (b"application/json", False),
    ],
)
def test_streams_of_events(value: bytes, streams: bool) -> None:
    assert parse_response_head(OK + b"Content-Type: " + value + b"\r\n\r\n").streams_events is streams


# -- beside another parser

BEGINNING = parts(
    [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"RTSP/1.0"],
    [b" "],
    [b"200", b"200", b"400", b"103", b"204", b"099", b"1000"],
    [b" ", b" ", b""],
    [b"OK", b""],
    [b"\r\n"],
)


def read_by_h11(whole: bytes) -> h11.Response | h11.InformationalResponse:
    """Raises RemoteProtocolError."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.receive_data(whole)
    event = connection.next_event()
    assert isinstance(event, (h11.Response, h11.InformationalResponse)), event
    return event


@settings(max_examples=examples(1000), deadline=None)
@given(nearly(BEGINNING))
def test_what_is_read_a_strict_parser_reads_alike(whole: bytes) -> None:
    try:
        ours: ResponseHead = parse_response_head(whole)
    except HeadError:
        return
    theirs = read_by_h11(whole)
    assert ours.status == theirs.status_code
    assert ours.headers == [(name.lower(), value) for name, value in theirs.headers.raw_items()]
    if not ours.interim and ours.status != 204:
        fields = dict(theirs.headers)
        assert ours.chunked == (b"transfer-encoding" in fields)
        assert ours.length == (int(fields[b"content-length"]) if b"content-length" in fields else None)
