"""Heads that are almost valid: parts of valid heads, with something strange instead of a part, or beside it."""

from collections.abc import Sequence

from hypothesis import strategies as st

_STRANGE = [
    *(b"", b" ", b"\t", b"\r\n", b"\n", b"\r", b"\r\n ", b"\x00", b"\x01", b"\x0b", b"\x0c", b"\x1c", b"\x7f", b"\x85"),
    *(b"\xa0", b"\xff", b"#", b"%", b"*", b":", b",", b";", b'"', b"+5", b"5", b"x", b"chunked", b"http://", b"//"),
]
_NAMES = [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"X"]
_VALUES = [b"x", b"5", b"5, 5", b"chunked", b"gzip, chunked", b"close", b"100-continue", b"h2c", b""]


def parts(*choices: Sequence[bytes]) -> st.SearchStrategy[list[bytes]]:
    """One of each."""
    return st.tuples(*(st.sampled_from(choice) for choice in choices)).map(list)


_FIELD = parts(_NAMES, [b":"], [b" ", b" ", b"", b"\t "], _VALUES, [b"", b"", b" "], [b"\r\n"])


@st.composite
def nearly(draw: st.DrawFn, beginning: st.SearchStrategy[list[bytes]]) -> bytes:
    """A head that ends with its first empty line, as connections cut it. `beginning` ends with a line."""
    pieces = draw(beginning)
    for field in draw(st.lists(_FIELD, max_size=3)):
        pieces.extend(field)
    pieces.append(b"\r\n")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(pieces) - 1))
        strange = draw(st.sampled_from(_STRANGE) | st.binary(max_size=3))
        pieces[at] = draw(st.sampled_from([strange, strange + pieces[at], pieces[at] + strange]))
    return b"".join(pieces).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
