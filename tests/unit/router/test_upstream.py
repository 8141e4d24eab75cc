"""Which bytes from an engine are one whole chunk, that can go on as it is."""

import pytest

from berth_router.upstream import start_of_chunk


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (b"5\r\nhello\r\n", 3),
        (b"005\r\nhello\r\n", 5),
        (b"A\r\n0123456789\r\n", 3),
        (b"7\r\nhello\r\n\r\n", 3),
        (b"5\r\nhello\r\n5\r\nhello\r\n", 0),  # two
        (b"5\r\nhello", 0),  # not all of it
        (b"5\r\nhello!!", 0),
        (b"5;name=value\r\nhello\r\n", 0),
        (b"0\r\n\r\n", 0),  # the last
        (b"-5\r\nhello\r\n", 0),
        (b"\r\nhello\r\n", 0),
        (b"hello", 0),
        (b"x\r\nhello\r\n", 0),
        (b"0000000005\r\nhello\r\n", 0),
        (b"", 0),
    ],
)
def test_one_whole_chunk_is_known(data: bytes, start: int) -> None:
    assert start_of_chunk(data) == start
