"""Reads HTTP/1.1's chunked coding strictly: RFC 9112, section 7.1."""

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?")
"""A chunk's size, and extensions, which are left out."""

_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
"""A trailer, which is left out. Anything else could be the next message, for a peer that sees the body end earlier."""

_MAX_LINE = 512
"""Bytes of a line with a size and extensions."""

_MAX_TRAILERS = 8 * 1024
"""Bytes of all trailers, which are left out."""


class ChunkError(Exception):
    """The bytes are not in the chunked coding."""


def whole_chunks(data: bytes) -> int:
    """How many bytes of a body are in this data if it is whole chunks alone; else 0.

    Chunks with extensions, and the last chunk, do not count as such.
    """
    position, length, payload = 0, len(data), 0
    while position < length:
        line = _SIZE.match(data, position)
        if line is None:
            return 0
        size = int(line[1], 16)
        end = line.end() + size
        if size == 0 or data[end : end + 2] != b"\r\n":
            return 0
        payload += size
        position = end + 2
    return payload


class ChunkedDecoder:
    """Decodes a body as it comes, in pieces cut anywhere."""

    __slots__ = ("_line", "_remaining", "_trailers", "ended", "rest")

    def __init__(self) -> None:
        self._line: bytes | None = b""
        """What came of a line that is not whole; None within a chunk."""
        self._remaining = 0
        """Bytes of the chunk that are still to come, with the line end behind it."""
        self._trailers = -1
        """Bytes of trailers so far; -1 before the last chunk."""
        self.ended = False
        self.rest = b""
        """What came behind the body."""

    @property
    def between_chunks(self) -> bool:
        """Whether no chunk has begun without its end."""
        return self._line == b"" and self._trailers < 0

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body in these. Raises ChunkError."""
        body: list[bytes] = []
        position = 0
        while position < len(data) and not self.ended:
            position = self._in_line(data, position) if self._line is not None else self._in_chunk(data, position, body)
        if self.ended:
            self.rest += data[position:]
        return body[0] if len(body) == 1 else b"".join(body)

    def _in_chunk(self, data: bytes, position: int, body: list[bytes]) -> int:
        end = min(position + self._remaining, len(data))
        ends = position + self._remaining - 2
        """Where the chunk's own bytes end, and its line end begins."""
        if position < ends:
            body.append(data[position : min(ends, end)])
        for at in range(max(position, ends), end):
            if data[at] != b"\r\n"[at - ends]:
                raise ChunkError("a chunk is longer than its size says")
        self._remaining -= end - position
        if self._remaining == 0:
            self._line = b""
        return end

    def _in_line(self, data: bytes, position: int) -> int:
        begun = self._line or b""
        if begun.endswith(b"\r") and data[position] == 0x0A:  # a line end that was cut in two
            line, after = begun[:-1], position + 1
        elif (end := data.find(b"\r\n", position)) >= 0:
            line, after = begun + data[position:end], end + 2
        else:
            self._line = begun + data[position:]
            self._check_length(len(self._line))
            return len(data)
        self._check_length(len(line))
        self._line = b""
        if self._trailers >= 0:
            self._trailers += len(line) + 2
            self.ended = not line
            if line and not _TRAILER.fullmatch(line):
                raise ChunkError(f"{line[:20]!r} is no trailer")
        else:
            self._begin_chunk(line)
        return after

    def _begin_chunk(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise ChunkError(f"{line[:20]!r} is no chunk's size")
        size = int(found[1], 16)
        if size == 0:
            self._trailers = 0
        else:
            self._remaining = size + 2
            self._line = None

    def _check_length(self, length: int) -> None:
        if length > _MAX_LINE if self._trailers < 0 else self._trailers + length > _MAX_TRAILERS:
            raise ChunkError("a line is too long")
