"""A router, bench engines, and very many clients that do whatever clients do; and what must hold, and be left."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.integration.serving.asking import KEYS, LONGEST_BODY, MODELS
from tests.integration.serving.calls import Record
from tests.integration.serving.outcomes import FaultError
from tests.integration.serving.programs import STALLED_SECONDS, WAITING_SECONDS, Client
from tests.unit.serving.wire import CHAT, Wire, get, request

CLIENTS = 48
"""At once."""

MOST_MEMORY = 150 << 20
"""Bytes that the router may have more at the end than at the beginning: its buffers, and what Python keeps."""

REST_SECONDS = 40
"""In which everything must have ended: the longest time-out of the router, twice, and more on a busy machine."""

_MOST_FAULTS = 5
_LONGEST_PROGRAM_SECONDS = 180

SETTINGS: dict[str, Any] = {
    "replica": "router-1",
    "host": "127.0.0.1",
    "api_key_scopes": {name: ["inference", "manage"] for name in KEYS},
    "max_body_bytes": LONGEST_BODY,
    "max_bodies_bytes": 8 * LONGEST_BODY,
    "max_connections": 8 * CLIENTS,
    "max_requests_per_model": CLIENTS,
    "max_requests_per_key": 2 * CLIENTS,
    "head_seconds": WAITING_SECONDS,
    "body_silence_seconds": WAITING_SECONDS,
    "body_seconds": 3 * WAITING_SECONDS,
    "keep_alive_seconds": 15,
    "stalled_client_seconds": STALLED_SECONDS,
    "engine_connect_seconds": 2,
    # A request may go to five silent engines, one after the other, before it fails: within the patience of a client.
    "engine_first_byte_seconds": 2,
    "engine_silence_seconds": 3,
    "cold_start_deadline": 20,
    "max_deployments": 100,
    "drain_seconds": 2,
    "lame_duck_seconds": 0,
}


@dataclass
class Report:
    """What a storm was like."""

    seed: int
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    engines: Record = field(default_factory=Record)
    canary_seconds: list[float] = field(default_factory=list[float])
    """How long a request took that needs nothing: how long the event loop was busy with others."""
    longest: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of the longest run of each program."""
    memory: tuple[int, int] = (0, 0)
    """Bytes of the router, before and after."""

    def text(self) -> str:
        """For people."""
        canary = sorted(self.canary_seconds) or [0.0]
        share = {percent: canary[min(len(canary) * percent // 100, len(canary) - 1)] for percent in (50, 99, 100)}
        lines = [
            f"storm with seed {self.seed}: {self.counts['connections']} connections in {self.seconds:.0f} s",
            f"{self.engines.requests} requests at engines, {self.engines.poisons} poisons",
            f"{len(self.engines.raced)} of them raced",
            "canary: " + ", ".join(f"{percent} % within {1000 * seconds:.0f} ms" for percent, seconds in share.items()),
            "longest: " + ", ".join(f"{program} {seconds:.0f} s" for program, seconds in self.longest.items()),
            f"the router's memory: {self.memory[0] >> 20} MiB before, {self.memory[1] >> 20} MiB after",
            *(f"{count:9} {kind}" for kind, count in sorted(self.counts.items())),
            *(f"FAULT {fault}" for fault in self.faults),
        ]
        return "\n".join(lines)


class Process:
    """A program of this bench that has said its first line."""

    def __init__(self, process: asyncio.subprocess.Process, first: str) -> None:
        self.process = process
        self.first = first

    async def ask(self) -> str:
        """Its answer to a line."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"\n")
        return (await self.process.stdout.readline()).decode()

    @property
    def files(self) -> int:
        """Descriptors that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 (names are all that is wanted)

    @property
    def memory(self) -> int:
        """Bytes that it has resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


@asynccontextmanager
async def running(module: str, argument: str, errors: Path) -> AsyncGenerator[Process]:
    """The module as a program of its own."""
    with errors.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"tests.integration.serving.{module}", argument),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    try:
        assert process.stdout
        yield Process(process, (await process.stdout.readline()).decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()  # which also closes the pipes


class Storm:
    """`hostile`: engines do what they never should, too."""

    def __init__(self, directory: Path, seconds: float, seed: int, *, hostile: bool) -> None:
        self._directory = directory
        self._seconds = seconds
        self._hostile = hostile
        self._report = Report(seed)
        self._poison: set[bytes] = set()

    async def run(self) -> Report:
        """Makes it, and says what it was like."""
        async with running("engine_process", str(len(MODELS)), self._directory / "engines.log") as engines:
            argument = self._router_argument(engines)
            async with running("router_process", argument, self._directory / "router.log") as router:
                port = int(router.first)
                await self._warm_up(port)
                await self._rest(router, engines)
                files, memory = router.files, router.memory
                await self._blow(port)
                if not self._report.faults:
                    await self._look_at_the_end(router, engines, port, files)
                    self._report.memory = memory, router.memory
                    if router.memory - memory > MOST_MEMORY:
                        self._fault(f"memory: {memory} bytes before, {router.memory} after")
                await self._end(router)
            self._report.engines = Record(**json.loads(await engines.ask()))
        self._report.faults += self._report.engines.faults
        if undue := self._poison - {poison.encode() for poison in self._report.engines.raced}:
            self._fault(f"clients got what engines had sent outside of answers: {sorted(undue)[:10]}")
        self._look_at_log()
        return self._report

    def _router_argument(self, engines: Process) -> str:
        store, keys = self._directory / "models", self._directory / "keys"
        keys.mkdir()
        for name, key in KEYS.items():
            (keys / name).write_text(key)
        for model in MODELS:
            (store / model).mkdir(parents=True)
        settings = {**SETTINGS, "model_store": str(store), "api_keys_dir": str(keys)}
        ports: list[int] = json.loads(engines.first)
        urls = {f"/models/{model}": f"http://127.0.0.1:{port}" for model, port in zip(MODELS, ports, strict=True)}
        return json.dumps({"settings": settings, "engines": urls})

    async def _warm_up(self, port: int) -> None:
        """Has every model asked for once, and everything loaded that is loaded at its first use."""
        key = KEYS["first"]
        for model in MODELS:
            prompt = {"marker": "MK0000000000000000Z", "do": "plain"}
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": json.dumps(prompt)}]}).encode()
            with await Wire.connect(port) as wire:
                headers = f"X-Api-Key: {key}\r\n"
                assert (await wire.ask(request(body, path=CHAT, headers=headers))).status == 200
                assert (await wire.ask(get("/openapi.json"))).status == 200

    async def _blow(self, port: int) -> None:
        """Has clients come and go until the time is over, or enough went wrong."""
        begun = time.monotonic()
        numbers = itertools.count()
        canary = asyncio.create_task(self._watch_canary(port))
        await asyncio.gather(*(self._come_and_go(port, numbers, begun + self._seconds) for _ in range(CLIENTS)))
        canary.cancel()
        self._report.seconds = time.monotonic() - begun

    async def _come_and_go(self, port: int, numbers: "itertools.count[int]", until: float) -> None:
        while time.monotonic() < until and len(self._report.faults) < _MOST_FAULTS:
            number = next(numbers)
            random = Random(f"{self._report.seed}:{number}")  # noqa: S311 (no secret)
            client = Client(port, random, until, hostile=self._hostile, counts=self._report.counts)
            started = time.monotonic()
            try:
                async with asyncio.timeout(_LONGEST_PROGRAM_SECONDS):
                    await client.run()
            except (FaultError, OSError, TimeoutError) as error:
                self._fault(f"client {number}, {type(error).__name__}: {error}; it did: {', '.join(client.trace)}")
            self._poison |= client.poison
            program = client.trace[0] if client.trace else ""
            self._report.longest[program] = max(self._report.longest.get(program, 0), time.monotonic() - started)
            self._report.counts["connections"] += 1

    async def _watch_canary(self, port: int) -> None:
        while True:
            with await Wire.connect(port) as wire:
                begun = time.monotonic()
                if (await wire.ask(get("/healthz"))).status != 200:
                    self._fault("the canary is not answered")
                self._report.canary_seconds.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)

    async def _look_at_the_end(self, router: Process, engines: Process, port: int, files: int) -> None:
        """Whatever the clients did, nothing of it may be left."""
        until = time.monotonic() + REST_SECONDS
        while left := await self._left(router, engines, port, files):
            if time.monotonic() > until:
                self._fault(f"at the end there are still {left}")
                return
            await asyncio.sleep(0.5)

    async def _left(self, router: Process, engines: Process, port: int, files: int) -> str:
        with await Wire.connect(port) as wire:
            metrics = (await wire.ask(get("/metrics"))).body.decode()
            loaded = json.loads((await wire.ask(get("/v1/models/loaded", f"X-Api-Key: {KEYS['first']}\r\n"))).body)
            in_flight = float(metrics.partition("\nberth_router_requests_in_flight ")[2].split()[0])
        at_engines = json.loads(await engines.ask())["running"]
        await asyncio.sleep(0.05)  # until the router has seen that this connection is closed
        more = max(router.files - files, 0)
        holds = sum(model["in_flight"] for model in loaded["loaded_models"])
        left = {"requests in flight": in_flight, "requests at engines": at_engines, "holds": holds, "open files": more}
        return ", ".join(f"{count:g} {what}" for what, count in left.items() if count)

    async def _rest(self, router: Process, engines: Process) -> None:
        """Returns when what the beginning left open is closed: idle connections to engines."""
        before = -1
        while before != router.files:
            before = router.files
            await asyncio.sleep(6)

    async def _end(self, router: Process) -> None:
        """Ends the router as a kubelet does."""
        router.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(REST_SECONDS):
                if await router.process.wait():
                    self._fault(f"the router ended with {router.process.returncode}")
        except TimeoutError:
            self._fault("the router did not end: what it was doing is in its log, below")
            router.process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(1)  # it says nothing when it has told

    def _look_at_log(self) -> None:
        """Warnings are as it should be; errors, and what Python says by itself, are not."""
        for name in ("router.log", "engines.log"):
            for line in (self._directory / name).read_text().splitlines():
                if not _is_warning(line):
                    self._fault(f"{name}: {line}")

    def _fault(self, text: str) -> None:
        self._report.faults.append(text)


def _is_warning(line: str) -> bool:
    try:
        return json.loads(line)["level"] == "warning"
    except (json.JSONDecodeError, KeyError, TypeError):
        return False
