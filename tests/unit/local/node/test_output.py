"""The ring of a model's output."""

import asyncio

from berth_local.node.output import LONGEST_LINE_BYTES, OutputBuffer


def test_lines_are_whole_wherever_they_were_cut() -> None:
    output = OutputBuffer()
    for data in (b"on", b"e\ntwo\r", b"\nprogress 1%\rprogress 2%\r", b"last"):
        output.feed(data)
    assert output.lines() == ["one", "two", "", "progress 1%", "progress 2%"]
    output.finish_line()
    assert output.lines()[-1] == "last"


def test_the_oldest_lines_are_forgotten_and_numbers_stay() -> None:
    output = OutputBuffer(capacity_bytes=100)
    for number in range(1000):
        output.feed(f"line {number}\n".encode())
    kept = output.lines()
    assert kept[-1] == "line 999"
    assert sum(len(line) + 1 for line in kept) <= 100
    assert output.end == 1000
    assert output.lines(998) == ["line 998", "line 999"]


def test_a_line_without_end_does_not_grow_without_end() -> None:
    output = OutputBuffer()
    output.feed(b"x" * (3 * LONGEST_LINE_BYTES + 1))
    assert [len(line) for line in output.lines()] == [LONGEST_LINE_BYTES] * 3


def test_what_is_no_text_is_shown_all_the_same() -> None:
    output = OutputBuffer()
    output.feed(b"\xff\xfe ok\n")
    assert output.lines()[0].endswith(" ok")


async def test_who_follows_gets_what_is_there_and_what_comes() -> None:
    output = OutputBuffer()
    output.feed(b"one\ntwo\n")
    following = output.follow(since=1)
    assert await anext(following) == ["two"]
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    output.feed(b"three\n")
    assert await waiting == ["three"]
