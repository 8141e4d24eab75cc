"""Heads that come again: of one connection they mostly differ in the length of the body alone.

A head that was read whole is kept as what stands before and behind the digits of its Content-Length. One that has the
same bytes there, and digits between them, says the same but for the length: so it need not be read again.
"""

import re

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)

_MOST_DIGITS = 15


class Repeat:
    """Knows a head again."""

    __slots__ = ("_after", "_before")

    def __init__(self, head: bytes) -> None:
        """`head` was read whole, has one length at most, and ends with the empty line."""
        found = _LENGTH.search(head)
        self._before = head[: found.start(1)] if found else head
        self._after = head[found.end(1) :] if found else b""

    def length(self, data: bytes, end: int) -> int:
        """The length of the body that the head in `data[:end]` tells, where it is like the known one; else -1.

        0 for a head without a length that is the very same.
        """
        before, after = self._before, self._after
        if not data.startswith(before):
            return -1
        if not after:
            return 0 if end == len(before) else -1
        digits = data[len(before) : end - len(after)]
        if not data.startswith(after, end - len(after)) or not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return -1
        return int(digits)
