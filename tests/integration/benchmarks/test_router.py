"""The router's benchmark with the servers that it starts: the upstream, a splice, Berth's router."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.contenders import free_port
from benchmarks.router.contenders import ContenderStart, Place, Running, berth, module, process, splice
from benchmarks.router.streams import opened
from benchmarks.router.traffic import ANSWER_BYTES, CHUNK_BYTES, DONE, Pace, answer, plain_body

PACES = [Pace(number, 5, 1000) for number in range(8)]


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Place]:
    """A place before an upstream that runs."""
    processor = min(os.sched_getaffinity(0))
    port = free_port()
    of_upstream = Place(tmp_path_factory.mktemp("upstream"), port, processor)
    async with process("the upstream", module("upstream", port), port, of_upstream):
        yield Place(tmp_path_factory.mktemp("contender"), port, processor)


@asynccontextmanager
async def nobody(place: Place) -> AsyncGenerator[Running]:
    """The upstream asked directly."""
    yield Running("nobody", place.upstream_port, 0)


async def go(place: Place) -> None:
    """Has the upstream go on; it has read then what was sent to it before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.upstream_port)
    writer.write(b"GET /go HTTP/1.1\r\n\r\n")
    assert await reader.readuntil(b"{}")
    writer.close()


@pytest.mark.parametrize("start", [nobody, splice, berth])
async def test_streams_come_whole_and_wait_for_the_last_one(place: Place, start: ContenderStart) -> None:
    async with start(place) as contender, opened(contender.port, PACES) as streams:
        assert streams.open == len(PACES)
        assert streams.chunks <= len(PACES)  # no stream has gone further than its first
        await go(place)
        assert await streams.end(10) == Counter()
        assert streams.open == 0
        assert streams.chunks == len(PACES) * (5 + len(DONE) / CHUNK_BYTES)


async def test_a_splice_whose_pool_is_used_up_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    paces = [Pace(number, 2, 1000) for number in range(300)]
    monkeypatch.setattr("benchmarks.router.streams.OPENING_AT_ONCE", len(paces))
    monkeypatch.setattr("benchmarks.router.streams.OPENING_SECONDS", 10)
    async with splice(place) as contender, opened(contender.port, paces) as streams:
        await go(place)
        assert await streams.end(10) == Counter()


async def test_a_server_that_does_not_come_up_is_told_with_its_last_words(place: Place, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such card')"]
    with pytest.raises(RuntimeError, match=r"(?s)the engine did not come up: .*no such card"):
        async with process("the engine", command, free_port(), place._replace(folder=tmp_path)):
            pass


async def test_the_upstream_answers_what_comes_in_pieces(place: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.upstream_port)
    body = plain_body()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(2):
        for piece in (head[:20], head[20:], body[:100]):
            writer.write(piece)
            await go(place)
        writer.write(body[100:])
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(ANSWER_BYTES) == answer()
    writer.close()
