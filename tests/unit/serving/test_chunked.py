"""The chunked coding: how the router decodes it on both sides, and when it passes chunks unparsed."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.serving.chunked import ChunkedDecoder, ChunkError, whole_chunks
from tests.unit.examples import examples

END = b"0\r\n\r\n"


def decode(*pieces: bytes) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder()
    return b"".join(decoder.feed(piece) for piece in pieces), decoder


REFUSED = [
    b"0x5\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b"-5\r\nhello\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"\t5\r\nhello\r\n",
    b"1_0\r\n0123456789abcdef\r\n",
    b"5\nhello\n",
    b"5\r\nhello\n0\n\n",
    b"5\rhello\r",
    b"5\r\r\nhello\r\n",
    b"\r\n5\r\nhello\r\n",
    b"\r\n",
    b"5h\r\nhello\r\n",
    b"\xd9\xa5\r\nhello\r\n",  # a five in Arabic, which int() would take
    b"\xb2\r\nhe\r\n",
    b"5,5\r\nhello\r\n",
    b"5\x00\r\nhello\r\n",
    b"10000000000000000\r\n",  # 2^64
    b"00000000000000005\r\nhello\r\n",
    b"5;a\nb\r\nhello\r\n",
    b"5;a\rb\r\nhello\r\n",
    b"5;a\x00b\r\nhello\r\n",
    b"5 ;\x7f\r\nhello\r\n",
    b"5\r\nhellox\r\n",
    b"5\r\nhello\rx",
    b"5\r\nhello\n",
    b"5\r\nhello0\r\n\r\n",
    b"5;" + b"x" * 600 + b"\r\nhello\r\n",
    b"5;" + b"x" * 600,
    # Trailers are nobody's, and still must be headers: another reader could find the end of the body elsewhere.
    b"0\r\nX: y\n\r\n\r\n",
    b"0\r\nX: y\rz\r\n\r\n",
    b"0\r\nX: y\x00\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\n X: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n",
    b"0\r\nno trailer\r\n\r\n",
    b"0\r\nGET / HTTP/1.1\r\n\r\n",
    b"0\r\n\n",
    b"0\r\n\rx",
    b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    b"0\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
]


@pytest.mark.parametrize("coded", REFUSED)
def test_what_is_not_the_coding_is_refused_however_it_is_cut(coded: bytes) -> None:
    for pieces in ([coded], [coded[at : at + 1] for at in range(len(coded))], [coded[:3], coded[3:]]):
        for behind in (END, b"x" * 10_000):
            with pytest.raises(ChunkError):
                decode(*pieces, behind)


@pytest.mark.parametrize("coded", REFUSED)
def test_what_is_not_the_coding_never_passes(coded: bytes) -> None:
    assert whole_chunks(coded) == 0
    assert whole_chunks(b"1\r\nx\r\n" + coded) == 0


@pytest.mark.parametrize(
    ("coded", "body"),
    [
        (END, b""),
        (b"5\r\nhello\r\n" + END, b"hello"),
        (b"0000000000000005\r\nhello\r\n" + END, b"hello"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + END, b"0123456789" * 2),
        (b"5;name=value\r\nhello\r\n0;x\r\n\r\n", b"hello"),
        (b'5 ; name="a b"\t\r\nhello\r\n' + END, b"hello"),
        (b"5\r\n\r\n0\r\n\r\n" + END, b"\r\n0\r\n"),
        (b"000\r\n\r\n", b""),
        (b"1\r\nx\r\n0\r\nX-Trailer: y\r\nother:\r\n\r\n", b"x"),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_the_coding_is_read_however_it_is_cut(coded: bytes, body: bytes, rest: bytes) -> None:
    whole = coded + rest
    for size in (1, 2, 3, 7, len(whole)):
        read, decoder = decode(*(whole[at : at + size] for at in range(0, len(whole), size)))
        assert (read, decoder.ended, decoder.rest) == (body, True, rest)


def test_a_large_chunk_is_passed_on_as_it_comes() -> None:
    read, decoder = decode(b"ffffffffffffffff\r\n", b"x" * 100)
    assert read == b"x" * 100
    assert not decoder.ended
    assert not decoder.between_chunks


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"5\r\nhello\r\n", 5),
        (b"5\r\nhello\r\n00000003\r\nabc\r\n", 8),
        (b"5\r\nhello\r\n3\r\nab", 0),
        (b"5\r\nhello\r", 0),
        (b"5\r\nhello\r\n0\r\n\r\n", 0),  # the end is not passed on: the client gets one of the router's own
        (b"0\r\n\r\n", 0),
        (b"5;x\r\nhello\r\n", 0),
        (b"ffffffff\r\nhello\r\n", 0),
        (b"100000000\r\nhello\r\n", 0),
    ],
)
def test_whole_chunks(data: bytes, size: int) -> None:
    assert whole_chunks(data) == size


PARTS = [
    *(b"0", b"1", b"5", b"a", b"F", b"00", b"10", b"+", b"-", b"0x", b"_", b" ", b"\t", b";", b";a=b", b'"', b","),
    *(b"X: y", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"x", b"hello", b"\x00", b"\x7f", b"\xff"),
    *(b"5\r\nhello\r\n", b"1\r\nx\r\n", END),
]
ANYTHING = st.lists(st.sampled_from(PARTS) | st.binary(max_size=3), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 60), max_size=6)


def outcome(pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
    """Body, whether it has ended, and the rest; None where it is refused."""
    try:
        body, decoder = decode(*pieces)
    except ChunkError:
        return None
    return body, decoder.ended, decoder.rest


@settings(max_examples=examples(1000), deadline=None)
@given(ANYTHING, CUTS)
def test_any_cut_gives_the_same(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert outcome(pieces) == outcome([data])


@settings(max_examples=examples(1000), deadline=None)
@given(ANYTHING)
def test_what_passes_is_what_the_decoder_reads(data: bytes) -> None:
    size = whole_chunks(data)
    if size:
        body, decoder = decode(data)
        assert len(body) == size
        assert decoder.between_chunks


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), CUTS, st.booleans())
def test_what_is_put_into_the_coding_comes_out(parts: list[bytes], cuts: list[int], upper: bool) -> None:
    coded = b"".join((b"%X" if upper else b"%x") % len(part) + b"\r\n" + part + b"\r\n" for part in parts)
    assert whole_chunks(coded) == sum(map(len, parts))
    places = [0, *sorted(cut for cut in cuts if cut < len(coded)), len(coded)]
    pieces = [coded[begin:end] for begin, end in pairwise(places)]
    read, decoder = decode(*pieces, END)
    assert (read, decoder.ended, decoder.rest) == (b"".join(parts), True, b"")
