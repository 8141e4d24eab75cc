"""`berth up` is told to end while an answer is under way: by Ctrl-C, and by another one."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.integration.local.engine import install
from tests.integration.local.running import Berth
from tests.unit.runtime.model_files import put
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HINT = "ending: 1 answer still runs; Ctrl-C again ends it now"


@dataclass
class Asked:
    """A `berth up` with an answer under way."""

    berth: Berth
    process: asyncio.subprocess.Process
    said: Path
    stream: Any

    def ctrl_c(self) -> None:
        """What a terminal sends."""
        self.process.send_signal(signal.SIGINT)

    async def says_that_it_waits(self) -> None:
        """Returns when it has said that it waits for the answer."""
        await until(lambda: HINT in self.said.read_text())

    async def word(self) -> str:
        """The next word of the answer. Raises StopAsyncIteration at its end."""
        while not (word := (await anext(self.stream)).choices[0].delta.content):
            pass
        return word

    async def all_words(self) -> None:
        """Takes the answer to its end. Raises what the client does where that is an error."""
        async for _ in self.stream:
            pass

    async def ended(self) -> None:
        """Returns when it has ended, as a program does after a signal, and has taken all with it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await self.process.wait() == 0
        await until(lambda: not self.berth.family())
        assert "Traceback" not in self.said.read_text()
        assert self.said.read_text().count(HINT) <= 1


@asynccontextmanager
async def asked(directory: Path, prompt: str) -> AsyncGenerator[Asked]:
    """A `berth up` that streams its answer."""
    put(directory / "models" / "tiny", "tiny-Q4_K_M.gguf")
    install(directory / "bin")
    berth, said = Berth(directory), directory / "said"
    with said.open("wb") as output:
        process = await berth.command("up", "--models", str(berth.models), "--port", "0", stdout=output, stderr=output)
    try:
        await until(lambda: "Ctrl-C ends it" in said.read_text() or process.returncode is not None)
        berth.url = said.read_text().split()[5].removesuffix("/v1")
        async with berth.client() as client:
            create: Any = client.chat.completions.create
            stream = await create(model="tiny", messages=[{"role": "user", "content": prompt}], stream=True)
            asked = Asked(berth, process, said, stream)
            assert await asked.word() == "Par"
            yield asked
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_second_ctrl_c_ends_an_answer_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_DRAIN_SECONDS", "600")
    async with asked(tmp_path, "on and on") as running:
        running.ctrl_c()
        await running.says_that_it_waits()
        assert await running.word() == "and on ", "the first one lets it go on"
        running.ctrl_c()
        with pytest.raises(openai.APIError, match="This server ends"):
            await running.all_words()
        await running.ended()


async def test_after_the_first_ctrl_c_an_answer_ends_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_DRAIN_SECONDS", "600")
    async with asked(tmp_path, f"until {tmp_path / 'go'}") as running:
        running.ctrl_c()
        await running.says_that_it_waits()
        with pytest.raises(openai.APIConnectionError):
            await running.berth.client().models.list()
        (tmp_path / "go").touch()
        assert await running.word() == "is."
        with pytest.raises(StopAsyncIteration):
            await running.word()
        await running.ended()


async def test_an_answer_that_takes_too_long_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTH_DRAIN_SECONDS", "1")
    async with asked(tmp_path, "on and on") as running:
        running.ctrl_c()
        await running.says_that_it_waits()
        with pytest.raises(openai.APIError, match="This server ends"):
            await running.all_words()
        await running.ended()
