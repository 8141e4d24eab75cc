"""`berth up` as a process of its own, and all processes that stem from it."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import openai

from tests.integration.local.engine import install
from tests.waiting import PATIENCE_SECONDS, until


class Berth:
    """A running `berth up` with the store and the state folder of a test. Use as an async context.

    Its engine is `engine.py`, or with `real_engine` the one that this environment has.
    """

    def __init__(
        self,
        directory: Path,
        *,
        real_engine: bool = False,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`options`: those of `berth up` besides the store and the port. `environment`: variables for all commands."""
        self._directory = directory
        self._options = options
        self._environment = environment or {}
        self._real_engine = real_engine
        self._process: asyncio.subprocess.Process | None = None
        self.home = directory / "home"
        self.models = directory / "models"
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                await self.kill()
                raise

    async def start(self) -> None:
        """Starts it, and waits until it listens. Where that takes too long, no process of it is left."""
        if not self._real_engine:
            install(self._directory / "bin")
        self._process = await self.command("up", "--models", str(self.models), "--port", "0", *self._options)
        process = self._process
        try:
            await until(lambda: (self.home / "berth.json").exists() or process.returncode is not None)
        except BaseException:
            await self.kill()
            raise
        self.url = json.loads((self.home / "berth.json").read_text())["url"]

    async def command(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        """A `berth` command with this state folder."""
        path = f"{self._directory / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "BERTH_HOME": str(self.home), "PATH": path, "BERTH_LOG_LEVEL": "WARNING"}
        environment |= self._environment
        return await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("berth"), *arguments, env=environment, **options
        )

    @property
    def pid(self) -> int:
        """The process of `berth up`."""
        assert self._process
        return self._process.pid

    async def kill(self) -> None:
        """What nobody can handle."""
        assert self._process
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def client(self) -> openai.AsyncOpenAI:
        """OpenAI's client for it."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE_SECONDS)

    def family(self) -> set[int]:
        """Every process that stems from it and lives: they all carry its state folder in their environment."""
        return {
            int(process.name) for process in Path("/proc").iterdir() if process.name.isdigit() and self._stems(process)
        }

    def _stems(self, process: Path) -> bool:
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            return False
        return f"BERTH_HOME={self.home}".encode() in environment.split(b"\0")
