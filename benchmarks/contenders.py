"""The contenders that switch between two models on one machine: Berth, Ollama, and an engine started by hand."""

import asyncio
import math
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import aiohttp

from benchmarks.chat import Asked, ask, ready_at
from berth_local.engines.slots import slots
from berth_local.engines.variables import LLAMACPP_ENVIRONMENT
from berth_runtime.engines.llamacpp import PROGRAM
from berth_runtime.main import engine_call

BERTH_PARALLEL = slots()
"""Slots that Berth gives llama.cpp here: the engine by hand gets the same."""

CONTEXT_SIZE = 2048

_ENDING_SECONDS = 20


class Server(NamedTuple):
    """A server that runs."""

    url: str
    pid: int


class Contender(Protocol):
    """Answers requests for models by name, one model in memory at a time."""

    name: str

    async def ask(self, model: str) -> float:
        """Seconds from the request to the first text of its answer, with all that must happen before it."""
        ...


class OverHttp:
    """A server that switches by itself."""

    def __init__(self, name: str, server: Server, models: Mapping[str, str]) -> None:
        self.name = name
        self.server = server
        self._models = models

    async def ask(self, model: str) -> float:
        """Seconds from the request to the first text, which the server sends when it has switched."""
        return _seconds(await ask(self.server.url, body(self._models[model])))


class ByHand:
    """A person, who ends one engine and starts the other."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.name = "engine by hand"
        self._files = files
        self._running: tuple[str, int, asyncio.subprocess.Process] | None = None

    async def ask(self, model: str) -> float:
        """Seconds from the request to the first text, with the end of one engine and the start of the other."""
        started = asyncio.get_running_loop().time()
        if self._running is None or self._running[0] != model:
            await self.stop()
            port = free_port()
            process = await _start(_engine_command(self._files[model], port), {**LLAMACPP_ENVIRONMENT, **os.environ})
            self._running = (model, port, process)
            async with aiohttp.ClientSession() as session:
                await ready_at(session, f"http://127.0.0.1:{port}/health")
        answered = await ask(f"http://127.0.0.1:{self._running[1]}", body(model))
        return answered.first_token_at - started

    async def stop(self) -> None:
        """Ends the engine, and waits until it is gone."""
        if self._running:
            await _stop(self._running[2])
            self._running = None


@asynccontextmanager
async def by_hand(files: Mapping[str, Path]) -> AsyncGenerator[ByHand]:
    """The engine that is started by hand. It ends with the context."""
    contender = ByHand(files)
    try:
        yield contender
    finally:
        await contender.stop()


@asynccontextmanager
async def berth(store: Path, home: Path, models: Sequence[str], memory_bytes: int) -> AsyncGenerator[OverHttp]:
    """`berth up` over a store that holds the models, with so much memory for all of them."""
    port = free_port()
    program = Path(sys.executable).with_name("berth")
    memory = f"{math.ceil(memory_bytes / 1000)}kB"
    command = [str(program), "up", "--models", str(store), "--port", str(port), "--memory", memory]
    async with _server("Berth", command, {**os.environ, "BERTH_HOME": str(home)}, port, "/readyz") as server:
        yield OverHttp("Berth", server, {model: f"/models/{model}" for model in models})


@asynccontextmanager
async def ollama(program: str, home: Path, files: Mapping[str, Path]) -> AsyncGenerator[OverHttp]:
    """`ollama serve` with memory for one model, and with its own defaults."""
    port = free_port()
    environment = {**os.environ, "HOME": str(home), "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MAX_LOADED_MODELS": "1"}
    async with _server("Ollama", [program, "serve"], environment, port, "/api/version") as server:
        names: dict[str, str] = {}
        for model, file in files.items():
            names[model] = model.lower()
            recipe = home / f"{model}.modelfile"
            recipe.write_text(f"FROM {file}\n")
            created = await _start([program, "create", names[model], "-f", str(recipe)], environment)
            if await created.wait() != 0:
                raise RuntimeError(f"ollama create {names[model]} failed")
        yield OverHttp("Ollama", server, names)


def ollama_program() -> str | None:
    """Ollama's program, if it is on PATH."""
    return shutil.which("ollama")


def body(model: str) -> dict[str, Any]:
    """The request. It is the same for all contenders."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "stream": True,
        "max_tokens": 4,
        "temperature": 0,
    }


def free_port() -> int:
    """A port of the loopback interface that is free now.

    It is below those that kernels give out by themselves, so that no connection is given it before it is listened on.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _engine_command(file: Path, port: int) -> list[str]:
    """What the launcher calls: `llama-server` on PATH, or else the one of the wheel."""
    call = engine_call(
        [
            *("llamacpp", "--model", str(file), "--host", "127.0.0.1", "--port", str(port)),
            *("--context-size", str(CONTEXT_SIZE), "--gpu-layers", "0", "--parallel", str(BERTH_PARALLEL)),
        ]
    ).arguments
    return call if shutil.which(PROGRAM) else [sys.executable, "-m", "berth_local.engines.llama_server", *call[1:]]


def _seconds(asked: Asked) -> float:
    return asked.first_token_at - asked.at


@asynccontextmanager
async def _server(
    name: str, command: Sequence[str], environment: Mapping[str, str], port: int, health: str
) -> AsyncGenerator[Server]:
    with tempfile.TemporaryFile() as log:
        process = await _start(command, environment, log)
        url = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession() as session:
                answering = asyncio.create_task(ready_at(session, url + health))
                ended = asyncio.create_task(process.wait())
                await asyncio.wait({answering, ended}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
                answering.cancel()
                ended.cancel()
                if not answering.done() or answering.cancelled():
                    log.seek(0)
                    said = log.read()[-2000:].decode(errors="replace")
                    raise RuntimeError(f"{name} did not come up: {' '.join(command)}\n{said}")
            yield Server(url, process.pid)
        finally:
            await _stop(process)


async def _start(
    command: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None = None
) -> asyncio.subprocess.Process:
    nowhere = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *command, env=dict(environment), stdin=nowhere, stdout=log or nowhere, stderr=log or nowhere
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _ENDING_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
