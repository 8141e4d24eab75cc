"""The rounds of a measurement, in which the contenders take turns."""

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.contenders import free_port
from benchmarks.processes import below, cpu_ns, processor_seconds_now, resident_bytes
from benchmarks.router.contenders import ContenderStart, Place, Running, module, process
from benchmarks.router.streams import ENDING_SECONDS, Streams, opened
from benchmarks.router.traffic import Pace
from benchmarks.router.wrk import Wrk, WrkError, WrkLoad

CLIENTS = 32
STREAMS = 200
CHUNKS_PER_SECOND = 50
"""Chunks of one stream."""

_SETTLING_SECONDS = 0.2
"""The beginning and the end of the streams, which are not counted."""

_CROWD_CHUNKS = 3
_CROWD_PER_SECOND = 2
_WARMING_STREAMS = 20

_OWN = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
"""This process, and what it has started that has ended: each wrk."""


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """How much is measured."""

    rounds: int
    request_seconds: int
    latency_seconds: int
    stream_seconds: int
    crowd: int
    """Streams at once."""


FULL = RoundPlan(rounds=9, request_seconds=2, latency_seconds=1, stream_seconds=3, crowd=5000)
QUICK = RoundPlan(rounds=3, request_seconds=1, latency_seconds=1, stream_seconds=1, crowd=1000)


class Cost(NamedTuple):
    """What one round with one contender took."""

    cpu_us: float
    """Processor time for each request or chunk, in microseconds."""
    rate: float
    """Requests or chunks a second."""
    share: float
    """The share of its processor that it used."""


@dataclass(slots=True)
class Crowd:
    """The result of many streams at once through one contender."""

    opened: int
    """The streams that were open at the same time."""
    kib: float
    """The resident memory for each of them, in KiB."""


@dataclass(slots=True)
class Figures:
    """What was measured of one contender, or of the upstream asked directly: the rounds in order."""

    requests: list[Cost] = field(default_factory=list[Cost])
    p50_us: list[float] = field(default_factory=list[float])
    """The rounds with one client."""
    chunks: list[Cost] = field(default_factory=list[Cost])
    crowd: Crowd | None = None
    streams: int = 0
    """All streams that were begun."""
    faults: Counter[str] = field(default_factory=Counter[str])
    """The faults of streams that did not end whole, and how many streams had each."""


class Others(NamedTuple):
    """What processes outside the measurement used of the two processors."""

    contenders: float
    """Of the contenders' processor: seconds, or a share of the time."""
    load: float
    """Of the processor of the load and the upstream."""


class Measured(NamedTuple):
    """All that was measured."""

    direct: Figures
    """Of the upstream asked directly, which has requests and p50_us alone."""
    contenders: dict[str, Figures]
    others: Others
    """Shares of the time in which the contenders took turns."""


class Processors(NamedTuple):
    """Where everything runs. This process is on the load's processor too."""

    contenders: int
    load: int


class RouterBench:
    """Makes the rounds."""

    def __init__(self, plan: RoundPlan, folder: Path, upstream: Running, processors: Processors) -> None:
        self._plan = plan
        self._folder = folder
        self._upstream = upstream
        self._processors = processors
        self._wrk = Wrk(folder)
        self._streams = 0
        self._places = 0

    async def measure(self, starts: Mapping[str, ContenderStart]) -> Measured:
        """Measures the contenders, but those that do not come up.

        Raises RuntimeError if one that has come up does not answer as it should.
        """
        direct = Figures()
        async with AsyncExitStack() as stack:
            running: list[Running] = []
            for name, start in starts.items():
                try:
                    running.append(await stack.enter_async_context(start(self._place(name))))
                except RuntimeError as error:
                    _say(f"{name} is left out: {error}")
            figures = {contender.name: Figures() for contender in running}
            began, before = time.monotonic(), self._seconds_of_others(running)
            await self._take_turns(running, direct, figures)
            seconds, after = time.monotonic() - began, self._seconds_of_others(running)
        for name, found in figures.items():
            _say(f"{self._plan.crowd} streams at once: {name}")
            async with starts[name](self._place(name)) as contender:
                await self._crowd(contender, found)
        shares = ((end - start) / seconds for start, end in zip(before, after, strict=True))
        return Measured(direct, figures, Others(*shares))

    def _seconds_of_others(self, contenders: Sequence[Running]) -> Others:
        """Processor time so far."""
        own = sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in _OWN)
        return Others(
            processor_seconds_now(self._processors.contenders) - sum(cpu_ns(each.pid) for each in contenders) / 1e9,
            processor_seconds_now(self._processors.load) - cpu_ns(self._upstream.pid) / 1e9 - own,
        )

    async def _take_turns(self, contenders: Sequence[Running], direct: Figures, figures: Mapping[str, Figures]) -> None:
        everyone = [(self._upstream, direct), *((contender, figures[contender.name]) for contender in contenders)]
        for contender in contenders:
            await self._load(contender, CLIENTS, 1)  # warms it, and is not counted
        for number in range(1, self._plan.rounds + 1):
            _say(f"round {number} of {self._plan.rounds}")
            for contender, found in everyone:
                found.requests.append(await self._requests(contender))
            for contender, found in everyone:
                found.p50_us.append((await self._load(contender, 1, self._plan.latency_seconds)).p50_us)
            for contender, found in everyone[1:]:
                found.chunks.append(await self._chunks(contender, found))

    async def _requests(self, contender: Running) -> Cost:
        """Requests of CLIENTS clients."""
        before = cpu_ns(contender.pid)
        load = await self._load(contender, CLIENTS, self._plan.request_seconds)
        spent = (cpu_ns(contender.pid) - before) / 1e9
        return Cost(spent / load.requests * 1e6, load.rate, spent / load.seconds)

    async def _chunks(self, contender: Running, figures: Figures) -> Cost:
        """The chunks of STREAMS streams, those of their beginning and end left out."""
        chunks = round((2 * _SETTLING_SECONDS + self._plan.stream_seconds) * CHUNKS_PER_SECOND)
        paces = self._paces(STREAMS, chunks, CHUNKS_PER_SECOND)
        async with self._opened(contender, paces, figures) as streams:
            await self._go()
            await asyncio.sleep(_SETTLING_SECONDS)
            before, came, started = cpu_ns(contender.pid), streams.chunks, time.perf_counter()
            await asyncio.sleep(self._plan.stream_seconds)
            spent, seconds = (cpu_ns(contender.pid) - before) / 1e9, time.perf_counter() - started
            came = streams.chunks - came
        if not came:
            raise RuntimeError(f"{contender.name} passed on no chunk: {dict(figures.faults)}")
        return Cost(spent / came * 1e6, came / seconds, spent / seconds)

    async def _crowd(self, contender: Running, figures: Figures) -> None:
        """The memory of a contender that has just been started, without streams and with many."""
        await self._load(contender, CLIENTS, 1)
        few = self._paces(_WARMING_STREAMS, _CROWD_CHUNKS, CHUNKS_PER_SECOND)
        many = self._paces(self._plan.crowd, _CROWD_CHUNKS, _CROWD_PER_SECOND)
        async with self._opened(contender, few, figures):
            await self._go()
        before = _memory(contender)
        async with self._opened(contender, many, figures) as streams:
            at_once, most = streams.open, _memory(contender)
            await self._go()
            for _ in range(_CROWD_CHUNKS):
                await asyncio.sleep(1 / _CROWD_PER_SECOND)
                most = max(most, _memory(contender))
        figures.crowd = Crowd(at_once, (most - before) / max(at_once, 1) / 1024)

    async def _load(self, contender: Running, clients: int, seconds: int) -> WrkLoad:
        try:
            return await self._wrk.run(contender.port, clients, seconds)
        except WrkError as error:
            raise RuntimeError(f"{contender.name}: {error}") from error

    def _paces(self, count: int, chunks: int, per_second: int) -> list[Pace]:
        """So many streams of this kind, with numbers that no stream had before."""
        first = self._streams
        self._streams += count
        return [Pace(first + number, chunks, per_second) for number in range(count)]

    @asynccontextmanager
    async def _opened(self, contender: Running, paces: Sequence[Pace], figures: Figures) -> AsyncGenerator[Streams]:
        """Streams, each with its first chunk. At the end it waits for all, and counts those that are not whole."""
        async with opened(contender.port, paces) as streams:
            yield streams
            figures.streams += len(paces)
            lasts = max(pace.chunks / pace.per_second for pace in paces)
            figures.faults += await streams.end(lasts + ENDING_SECONDS)

    async def _go(self) -> None:
        """Lets the upstream go on with all streams."""
        url = f"http://127.0.0.1:{self._upstream.port}/go"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            response.raise_for_status()

    def _place(self, name: str) -> Place:
        self._places += 1
        folder = self._folder / f"{self._places} {name}".replace(" ", "-")
        return Place(folder, self._upstream.port, self._processors.contenders)


@asynccontextmanager
async def bench(plan: RoundPlan, folder: Path, processors: Processors) -> AsyncGenerator[RouterBench]:
    """A bench with its upstream."""
    port = free_port()
    place = Place(folder / "upstream", port, processors.load)
    async with process("the upstream", module("upstream", port), port, place) as upstream:
        yield RouterBench(plan, folder, upstream, processors)


def _memory(contender: Running) -> int:
    return sum(map(resident_bytes, (contender.pid, *below(contender.pid))))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
