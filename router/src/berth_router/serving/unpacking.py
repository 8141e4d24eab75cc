"""Bodies that come packed: `Content-Encoding: gzip`. They are unpacked before anybody reads them.

What a body unpacks to has the limit of any body, and takes its room step by step. So a body that is small when it comes
and huge when it is unpacked costs no more than one that comes as it is. Others are served between the steps.
"""

import asyncio
import zlib
from collections.abc import Iterator

from berth_router.errors import APIError, InvalidRequestError, UnsupportedCodingError
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import RequestHead
from berth_router.serving.incoming import Responder, check_body_length, no_room_error

_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's argument for each coding that is read: RFC 9110 section 8.4.1. `deflate` is zlib's format, by that section."""

_STEP_BYTES = 256 * 1024
"""Most bytes that are unpacked at once, which takes about a millisecond."""

_READ_BYTES = 64 * 1024
"""Packed bytes that zlib gets at once. It copies what it has not read each time."""


def unpacking(head: RequestHead, responder: Responder) -> Responder:
    """The responder for requests with this head: one that unpacks first, where the body comes packed.

    Raises UnsupportedCodingError for a coding that is not read.
    """
    if b"content-encoding" not in head.fields:
        return responder
    values = [value for name, value in head.headers if name == b"content-encoding"]
    codings = [coding.strip().lower() for coding in b",".join(values).split(b",")]
    codings = [coding for coding in codings if coding not in (b"", b"identity")]
    if not codings:
        return responder
    if len(codings) > 1 or codings[0] not in _WINDOW_BITS:
        named = b", ".join(codings).decode(errors="replace")[:100]
        raise UnsupportedCodingError(
            f"The header Content-Encoding must be gzip or deflate, or left out; got {named!r}.",
            param="Content-Encoding",
            code="unsupported_content_encoding",
        )
    return _UnpackingResponder(responder, _WINDOW_BITS[codings[0]])


class _UnpackingResponder:
    """Unpacks the bodies of requests, and has another responder answer."""

    def __init__(self, responder: Responder, window_bits: int) -> None:
        self._responder = responder
        self._window_bits = window_bits

    @property
    def body_limit(self) -> int:
        """Bytes of the longest body, packed and unpacked alike."""
        return self._responder.body_limit

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request, at once where its body is small."""
        if not body:
            self._responder.serve(exchange, body)
            return
        steps = self._steps(exchange, body)
        parts: list[bytes] = []
        is_small = len(body) <= _READ_BYTES  # a longer body takes many steps, however little each of them yields
        try:
            while (part := next(steps, None)) is not None:
                parts.append(part)
                if len(part) == _STEP_BYTES or not is_small:
                    exchange.run(self._go_on(exchange, len(body), steps, parts))
                    return
        except APIError as error:
            exchange.fail(error)
            return
        self._serve(exchange, len(body), parts)

    async def _go_on(self, exchange: Exchange, packed: int, steps: Iterator[bytes], parts: list[bytes]) -> None:
        """Unpacks the rest, and lets others be served in between. Raises APIError."""
        for part in steps:
            parts.append(part)
            await asyncio.sleep(0)
        self._serve(exchange, packed, parts)

    def _serve(self, exchange: Exchange, packed: int, parts: list[bytes]) -> None:
        body = b"".join(parts)
        parts.clear()
        exchange.release_body_part(packed)
        self._responder.serve(exchange, body)

    def _steps(self, exchange: Exchange, body: bytes) -> Iterator[bytes]:
        """The parts of the unpacked body, for each of which there is room. Raises APIError."""
        size = 0
        for part in unpacked(body, self._window_bits):
            size += len(part)
            check_body_length(size, self._responder)
            if not exchange.reserve_body(len(part)):
                raise no_room_error()
            yield part


def unpacked(body: bytes, window_bits: int) -> Iterator[bytes]:
    """The parts of what the body unpacks to, of 0 to _STEP_BYTES each. Raises InvalidRequestError.

    There is a part for each piece that was read, so that whoever takes them can pause: what is packed may be nothing.
    """
    unpacker = zlib.decompressobj(window_bits)
    packed = memoryview(body)
    at = 0
    while not unpacker.eof:
        unread = unpacker.unconsumed_tail
        if not unread:
            if at >= len(body):
                raise _not_packed("it ends too early")
            unread, at = packed[at : at + _READ_BYTES], at + _READ_BYTES
        try:
            part = unpacker.decompress(unread, _STEP_BYTES)
        except zlib.error as error:
            raise _not_packed(str(error)) from None
        yield part
    if unpacker.unused_data or at < len(body):
        # Also a second member, which gzip would allow: a body of a million tiny ones would take minutes.
        raise _not_packed("something follows behind its end")


def _not_packed(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The body is not in the coding that the header Content-Encoding states: {why}.",
        param="Content-Encoding",
        code="invalid_content_encoding",
    )
