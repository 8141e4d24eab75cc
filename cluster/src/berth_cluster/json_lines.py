"""Lines of a stream that comes in pieces of any size."""

from collections.abc import AsyncIterator


async def lines_of(pieces: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """The lines without their ends, the last one also where it has none.

    Raises ValueError beyond `longest` bytes of one line.
    """
    begun = bytearray()
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        begun += first
        if len(begun) > longest:
            raise ValueError(f"a line is longer than {longest} bytes")
        if others:
            yield bytes(begun)
            *whole, last = others
            for line in whole:
                yield line
            begun = bytearray(last)
    if begun:
        yield bytes(begun)
