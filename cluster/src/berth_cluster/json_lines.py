"""The lines of a stream of pieces of any size."""

from collections.abc import AsyncIterator


async def lines_of(pieces: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """The lines without their line ends. The last line need not have one.

    Raises ValueError beyond `longest` bytes of one line.
    """
    unfinished = bytearray()
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        unfinished += first
        if len(unfinished) > longest:
            raise ValueError(f"a line is longer than {longest} bytes")
        if others:
            yield bytes(unfinished)
            *whole, last = others
            for line in whole:
                yield line
            unfinished = bytearray(last)
    if unfinished:
        yield bytes(unfinished)
