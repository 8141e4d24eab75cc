"""What bench engines do with a prompt: what they should, or what no engine should."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.integration.serving.calls import Call

Behaviour = Callable[[Call], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def counted(body: bytes, head: bytes = OK) -> bytes:
    """An answer with its length."""
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


# -- friendly, streamed


async def stream(call: Call) -> None:
    await call.send(EVENTS + CHUNKED)
    for event in call.events():
        await call.send(chunk(event))
        await call.pause()
    await call.send(chunk(call.done()) + LAST_CHUNK)


async def stream_in_pieces(call: Call) -> None:
    """Cut where it comes."""
    coded = b"".join(map(chunk, [*call.events(), call.done()])) + LAST_CHUNK
    await call.send(EVENTS + CHUNKED)
    position = 0
    while position < len(coded):
        size = call.random.choice((1, 2, 7, 60, 400, 5000))
        await call.send(coded[position : position + size])
        position += size
        await asyncio.sleep(0)


async def stream_oddly(call: Call) -> None:
    """As the coding allows and nobody does: extensions, capitals, zeros, any part of events a chunk, trailers."""
    await call.send(EVENTS + b"Transfer-Encoding: Chunked\r\nX-Odd:\t yes \r\n\r\n")
    body = b"".join([*call.events(), call.done()])
    position = 0
    while position < len(body):
        part = body[position : position + call.random.randint(1, 300)]
        size = call.random.choice((b"%x;name=value", b"%X", b"%08x", b'%x ; a="b c"')) % len(part)
        await call.send(size + b"\r\n" + part + b"\r\n")
        position += len(part)
    await call.send(b"000;last\r\nX-Trailer: y\r\nX-Other:\r\n\r\n")


async def stream_until_closed(call: Call) -> None:
    await call.send(EVENTS + b"\r\n")
    for event in call.events():
        await call.send(event)
    await call.send(call.done())
    await call.close()


# -- friendly, whole


async def plain(call: Call) -> None:
    await call.pause()
    await call.send(counted(call.whole()))


async def plain_in_chunks(call: Call) -> None:
    body = call.whole()
    middle = len(body) // 2
    await call.send(OK + CHUNKED + chunk(body[:middle]))
    await call.pause()
    await call.send(chunk(body[middle:]) + LAST_CHUNK)


async def plain_until_closed(call: Call) -> None:
    await call.send(OK + b"\r\n" + call.whole())
    await call.close()


async def plain_and_close(call: Call) -> None:
    await call.send(counted(call.whole(), OK + b"connection: close\r\n"))
    await call.close()


async def plain_after_interim(call: Call) -> None:
    await call.send(b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 3)
    await call.pause()
    await call.send(counted(call.whole()))


async def nothing(call: Call) -> None:
    await call.send(b"HTTP/1.1 204 No Content\r\n\r\n")


async def refuse(call: Call) -> None:
    await call.send(counted(call.refusal(), b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"))


# -- hostile: what breaks


async def die(call: Call) -> None:
    await call.pause()
    call.reset()


async def hang_up(call: Call) -> None:
    await call.close()


async def die_in_its_head(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-")
    call.reset()


async def die_streaming(call: Call) -> None:
    await call.send(EVENTS + CHUNKED)
    for event in call.events():
        await call.send(chunk(event))
    await call.send(call.random.choice((b"", b"5", b"5\r\nda", b"0\r\n")))
    await asyncio.sleep(0.001)
    call.reset()


async def hang_up_streaming(call: Call) -> None:
    await call.send(EVENTS + CHUNKED + b"".join(map(chunk, call.events())))
    await call.close()


async def fall_short(call: Call) -> None:
    body = call.whole()
    await call.send(OK + b"content-length: %d\r\n\r\n" % (len(body) + 5) + body)
    await call.close()


BAD_CHUNKS = (
    *(b"0x5\r\nhello\r\n", b"+5\r\nhello\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n", b"1_0\r\n0123456789abcdef\r\n"),
    *(b"5\nhello\n", b"5\r\nhellox\r\n", b"fffffffffffffffff\r\n", b"\r\n", b"0\r\nnone\r\n\r\n", b"zz\r\n", OK),
)


async def miscode(call: Call) -> None:
    begun = EVENTS + CHUNKED + b"".join(map(chunk, call.events()))
    bad = call.random.choice(BAD_CHUNKS) + LAST_CHUNK  # where it is taken for a chunk, the answer is whole
    for piece in (begun, bad) if call.random.random() < 0.5 else (begun + bad,):
        await call.send(piece)
        await asyncio.sleep(0.001)
    await call.until_closed()


NO_ANSWERS = (
    b"SSH-2.0-OpenSSH\r\n\r\n",
    b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 099 Wait\r\n\r\n" + counted(b"{}"),
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
    OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"x: y\rset-cookie: z\r\ncontent-length: 2\r\n\r\n{}",
    OK + b"x: y\x00\r\ncontent-length: 2\r\n\r\n{}",
    b"\r\n\r\n",
)


async def speak_otherwise(call: Call) -> None:
    await call.send(call.random.choice(NO_ANSWERS))
    await call.until_closed()


async def boast(call: Call) -> None:
    """A head of two megabytes."""
    await call.send(OK)
    for number in range(200):
        await call.send(b"x-%d: %b\r\n" % (number, b"y" * 10_000))
    await call.until_closed()


async def say_nothing(call: Call) -> None:
    await call.until_closed()


async def say_no_more(call: Call) -> None:
    await call.send(EVENTS + CHUNKED + b"".join(map(chunk, call.events())))
    await call.until_closed()


async def say_wait_for_ever(call: Call) -> None:
    while not call.closed:
        await call.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.05)


async def extend_for_ever(call: Call) -> None:
    """A size that never ends."""
    await call.send(EVENTS + CHUNKED + b"".join(map(chunk, call.events())) + b"5;")
    while not call.closed:
        await call.send(b"x")
        await asyncio.sleep(0.02)


# -- hostile: what comes whole all the same


async def stream_for_ever(call: Call) -> None:
    """Until its client has had enough."""
    await call.send(EVENTS + CHUNKED)
    number = 0
    while not call.closed:
        await call.send(chunk(call.event(number)))
        number += 1
        await asyncio.sleep(0)


async def add_poison(call: Call) -> None:
    """In one piece with the answer."""
    poison = call.poison()
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + counted(poison)
    await call.send(counted(call.whole()) + call.random.choice((poison, b"\r\n" + poison, counted(poison), interim)))


async def add_poison_to_nothing(call: Call) -> None:
    await call.send(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n" + call.poison())


async def add_poison_later(call: Call) -> None:
    """When the connection is idle: see Call.poison_idle."""
    await call.send(counted(call.whole()))
    await call.poison_idle(call.random.choice((0, 0, 0.001, 0.01)))


async def half_close(call: Call) -> None:
    """Says at once that nothing more comes, and reads on."""
    await call.send(counted(call.whole()))
    call.end()


FRIENDLY_STREAMS: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour for behaviour in (stream, stream_in_pieces, stream_oddly, stream_until_closed)
}
FRIENDLY_PLAIN: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (plain, plain_in_chunks, plain_until_closed, plain_and_close, plain_after_interim, nothing, refuse)
}
_BREAKING_STREAMS = (die_streaming, hang_up_streaming, miscode, say_no_more, extend_for_ever)
BREAKING_STREAMS: Mapping[str, Behaviour] = {behaviour.__name__: behaviour for behaviour in _BREAKING_STREAMS}
BREAKING: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (die, hang_up, die_in_its_head, fall_short, speak_otherwise, boast, say_nothing, say_wait_for_ever)
}
HOSTILE_WHOLE: Mapping[str, Behaviour] = {
    behaviour.__name__: behaviour for behaviour in (add_poison, add_poison_to_nothing, add_poison_later, half_close)
}
ENDLESS: Mapping[str, Behaviour] = {stream_for_ever.__name__: stream_for_ever}

BEHAVIOURS: Mapping[str, Behaviour] = {
    **FRIENDLY_STREAMS,
    **FRIENDLY_PLAIN,
    **BREAKING_STREAMS,
    **BREAKING,
    **HOSTILE_WHOLE,
    **ENDLESS,
}
