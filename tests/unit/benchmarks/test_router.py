"""The router's benchmark: what travels, who counts it, and what is told of it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.contenders import free_port
from benchmarks.router import __main__ as program
from benchmarks.router.contenders import (
    BERTH,
    NGINX,
    SPLICE,
    VLLM_ROUTER,
)
from benchmarks.router.report import result, table
from benchmarks.router.rounds import Cost, Crowd, Figures, Measured, Others
from benchmarks.router.streams import opened
from benchmarks.router.traffic import (
    ANSWER_BYTES,
    CHUNK_BYTES,
    DONE,
    MODELS,
    REQUEST_BYTES,
    Pace,
    answer,
    event,
    events,
    pace_of,
    plain_body,
    stream_body,
)
from benchmarks.router.wrk import WrkError, WrkLoad, load_of

PACES = [Pace(number, 5, 1000) for number in range(8)]


@pytest.mark.parametrize("model", MODELS)
def test_a_plain_request_has_the_size_that_is_told(model: str) -> None:
    body = plain_body(model)
    assert len(body) == REQUEST_BYTES
    assert json.loads(body)["model"] == model
    assert pace_of(body) is None


@pytest.mark.parametrize("pace", [Pace(0, 1, 1), Pace(17, 500, 50), Pace(123_456, 99_999, 1000)])
def test_a_request_for_a_stream_says_its_pace(pace: Pace) -> None:
    body = stream_body(pace)
    assert len(body) == REQUEST_BYTES
    assert json.loads(body)["stream"] is True
    assert pace_of(body) == pace


def test_the_answer_has_the_size_that_is_told() -> None:
    assert len(answer()) == ANSWER_BYTES
    assert json.loads(answer())["object"] == "chat.completion"


def test_each_event_has_the_size_that_is_told_and_is_like_no_other() -> None:
    found = [event(stream, number) for stream in (0, 17, 123_456) for number in (0, 1, 999_999)]
    assert {len(each) for each in found} == {CHUNK_BYTES}
    assert len(set(found)) == len(found)
    for each in found:
        assert each.endswith(b"\n\n")
        assert json.loads(each.removeprefix(b"data: "))["object"] == "chat.completion.chunk"


WRK = """Running 3s test @ http://127.0.0.1:18001/v1/chat/completions
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.42ms   17.57ms 157.97ms   95.51%
    Req/Sec    19.46k    12.22k   39.63k    56.67%
  58262 requests in 3.05s, 56.95MB read
Requests/sec:  19090.08
Transfer/sec:     18.66MB
"""


def test_what_wrk_tells_is_read() -> None:
    load = load_of(WRK + '{"requests": 58262, "seconds": 3.051952, "failed": 0, "p50_us": 1070.0}\n')
    assert load == WrkLoad(58262, 3.051952, 1070.0)
    assert load.rate == pytest.approx(19090.08)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (WRK, "no result"),
        ("", "no result"),
        ("unable to connect to 127.0.0.1:1 Connection refused\n", "no result"),
        (WRK + '{"requests": 58262, "seconds": 3.0, "failed": 3, "p50_us": 1070.0}\n', "3 of 58262 requests failed"),
        (WRK + '{"requests": 0, "seconds": 3.0, "failed": 0, "p50_us": 0.0}\n', "0 of 0 requests failed"),
    ],
)
def test_a_load_of_which_anything_failed_counts_for_nothing(output: str, told: str) -> None:
    with pytest.raises(WrkError, match=told):
        load_of(output)


def test_who_cannot_be_had_is_told_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed() -> Path:
        raise RuntimeError("pip install failed:\n  no network")

    monkeypatch.setattr(program, "nginx_program", lambda: None)
    monkeypatch.setattr(program, "installed", not_installed)
    found, told = program.contenders((NGINX, SPLICE, BERTH, VLLM_ROUTER))
    assert list(found) == [SPLICE, BERTH]
    assert told[0].endswith("apt-get install nginx-light")
    assert told[1] == "vllm-router is missing: pip install failed: no network"


Answering = Callable[[Pace], bytes]


@asynccontextmanager
async def answering(answer_to: Answering) -> AsyncGenerator[int]:
    """A server that answers each request for a stream so, and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        pace = pace_of(await reader.readexactly(REQUEST_BYTES))
        assert pace
        writer.write(answer_to(pace))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def sent(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def whole(pace: Pace) -> bytes:
    return sent(events(pace))


def of_another(pace: Pace) -> bytes:
    return whole(pace._replace(stream=pace.stream + 1))


def lacking_one(pace: Pace) -> bytes:
    return whole(pace._replace(chunks=pace.chunks - 1))


def ending_twice(pace: Pace) -> bytes:
    return sent(events(pace) + DONE)


def without_its_last_byte(pace: Pace) -> bytes:
    return whole(pace)[:-1]


def not_http(_: Pace) -> bytes:
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"


def refused(_: Pace) -> bytes:
    return b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"


def silence(_: Pace) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("answer_to", "fault"),
    [
        (whole, None),
        (of_another, "other bytes than were sent"),
        (lacking_one, "shorter or longer than what was sent"),
        (ending_twice, "shorter or longer than what was sent"),
        (without_its_last_byte, "cut"),
        (not_http, "cut"),
        (refused, "status 429"),
        (silence, "no answer"),
    ],
)
async def test_a_stream_that_is_not_whole_is_seen(answer_to: Answering, fault: str | None) -> None:
    async with answering(answer_to) as port, opened(port, PACES) as streams:
        assert await streams.end(10) == ({fault: len(PACES)} if fault else {})


async def test_streams_that_find_nobody_are_counted_too() -> None:
    async with opened(free_port(), PACES) as streams:
        [(fault, number)] = (await streams.end(10)).items()
    assert fault.startswith("not connected: ")
    assert number == len(PACES)


DIRECT = Figures(requests=[Cost(10, 40_000, 0.4)] * 3, p50_us=[20, 30, 25])
BY_NGINX = Figures(
    requests=[Cost(20, 50_000, 1), Cost(40, 25_000, 1), Cost(20, 45_000, 0.85)],
    p50_us=[120, 125, 130],
    chunks=[Cost(16, 10_000, 0.16)] * 3,
    crowd=Crowd(5000, 17.44),
    streams=5620,
)
BY_BERTH = Figures(
    requests=[Cost(50, 20_000, 1), Cost(80, 12_500, 1), Cost(60, 16_667, 1)],
    p50_us=[170, 185, 160],
    chunks=[Cost(16, 10_000, 0.16), Cost(24, 10_000, 0.24), Cost(20, 10_000, 0.2)],
    crowd=Crowd(4999, 7.96),
    streams=5620,
    faults=Counter({"cut": 2, "status 503": 1}),
)


MEASURED = Measured(DIRECT, {NGINX: BY_NGINX, BERTH: BY_BERTH}, Others(0.004, 0.021))


def test_the_result_is_one_object_of_medians_over_rounds() -> None:
    assert json.loads(result(MEASURED)) == {
        "cpu_ratio_vs_nginx": 2.5,
        "chunk_ratio_vs_nginx": 1.25,
        "stream_kib": 8.0,
        "added_p50_us": 150,
        "streams_dropped": 3,
    }


def test_what_could_not_be_measured_is_null() -> None:
    told = json.loads(result(MEASURED._replace(contenders={BERTH: BY_BERTH})))
    assert (told["cpu_ratio_vs_nginx"], told["chunk_ratio_vs_nginx"], told["added_p50_us"]) == (None, None, 150)
    assert set(json.loads(result(MEASURED._replace(contenders={NGINX: BY_NGINX}))).values()) == {None}


def test_the_table_has_each_contender_beside_nginx() -> None:
    *parts, told = table(MEASURED).split("\n\n")
    of_requests, of_chunks, of_latencies, of_crowds = ([row.split() for row in part.splitlines()[2:]] for part in parts)
    assert of_requests == [
        ["nginx", "20.0", "20.0", "40.0", "1.00", "1.00", "1.00", "45000", "100%"],
        ["Berth", "60.0", "50.0", "80.0", "2.50", "2.00", "3.00", "16667", "100%"],
    ]
    assert of_chunks[1] == ["Berth", "20.0", "16.0", "24.0", "1.25", "1.00", "1.50", "10000", "20%"]
    assert of_latencies == [
        ["direct", "25", "20", "30", "-"],
        ["nginx", "125", "120", "130", "100"],
        ["Berth", "170", "160", "185", "150"],
    ]
    assert of_crowds[1] == ["Berth", "4999", "8.0", "5620", "3", "cut:", "2", "status", "503:", "1"]
    assert told.splitlines() == [
        "the upstream asked directly: 40000 requests a second, 10.0 microseconds of its processor each",
        "others had 0.4% of the contenders' processor and 2.1% of the load's",
    ]


def test_who_was_kept_waiting_is_told_not_to_have_shown_its_most() -> None:
    idle = Figures(requests=[Cost(20, 30_000, 0.6)] * 3, p50_us=[120] * 3, chunks=BY_NGINX.chunks)
    told = table(MEASURED._replace(contenders={NGINX: idle, BERTH: BY_BERTH}))
    assert "\nnginx: kept waiting" in told


@pytest.mark.parametrize("others", [Others(0.031, 0), Others(0, 0.2)])
def test_a_machine_that_is_not_quiet_is_told(others: Others) -> None:
    assert "on a quiet machine" in table(MEASURED._replace(others=others))


def test_without_nginx_there_is_no_ratio_in_the_table() -> None:
    told = table(MEASURED._replace(contenders={BERTH: BY_BERTH}))
    assert told.splitlines()[2].split()[4:7] == ["-", "-", "-"]
