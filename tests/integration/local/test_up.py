"""`berth up` as a process of its own: what becomes of its children and its clients when something dies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.integration.local.engine import install
from tests.integration.local.running import Berth
from tests.unit.runtime.model_files import put
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ORPHANS_LIVE_SECONDS = 2.0
"""Of a promise to users, not a measure of speed."""


@pytest.fixture
async def berth(tmp_path: Path) -> AsyncIterator[Berth]:
    put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf")
    put(tmp_path / "models" / "other", "other-Q4_K_M.gguf")
    async with Berth(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Berth]:
    """One for the tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    put(folder / "models" / "tiny", "tiny-Q4_K_M.gguf")
    async with Berth(folder) as running:
        yield running


async def stream(client: openai.AsyncOpenAI, prompt: str, model: str = "tiny") -> Any:
    create: Any = client.chat.completions.create
    return await create(model=model, messages=[{"role": "user", "content": prompt}], stream=True)


async def answer(client: openai.AsyncOpenAI, prompt: str = "What is the capital of France?") -> str:
    return "".join([part.choices[0].delta.content or "" async for part in await stream(client, prompt)])


async def test_after_kill_9_under_load_no_child_is_left_and_the_next_one_serves(berth: Berth) -> None:
    async with berth.client() as client:
        streams = [await stream(client, "on and on", model) for model in ("tiny", "other", "tiny", "other")]
        for parts in streams:
            await anext(parts)
        family = berth.family()
        assert len(family) >= 8, "two engines, each with its supervisor and two processes of its own, and Berth"
        await berth.kill()
        async with asyncio.timeout(ORPHANS_LIVE_SECONDS):
            await until(lambda: not berth.family())
        for parts in streams:
            with pytest.raises(openai.APIConnectionError):
                async for _ in parts:
                    pass
    (berth.home / "berth.json").unlink()
    await berth.start()
    async with berth.client() as client:
        assert await answer(client) == "Paris."


async def test_when_it_is_told_to_end_it_takes_its_children_with_it(berth: Berth) -> None:
    async with berth.client() as client:
        await answer(client)
    os.kill(berth.pid, 15)
    await until(lambda: not berth.family())
    assert not (berth.home / "berth.json").exists()


async def test_an_engine_that_crashes_in_mid_stream_is_seen_to_crash_and_the_next_request_works(berth: Berth) -> None:
    async with berth.client() as client:
        assert await answer(client) == "Paris."
        parts = await stream(client, "crash")
        assert (await anext(parts)).choices[0].delta.role == "assistant"
        assert (await anext(parts)).choices[0].delta.content == "Par"
        with pytest.raises(openai.APIError) as broken:
            async for _ in parts:
                pass
        assert "engine" in str(broken.value)
        assert await answer(client) == "Paris."


async def test_an_engines_children_go_with_it(berth: Berth) -> None:
    async with berth.client() as client:
        await answer(client)
        before = berth.family()
        parts = await stream(client, "crash")
        with pytest.raises(openai.APIError):
            async for _ in parts:
                pass
        assert await answer(client) == "Paris."
    await until(lambda: len(berth.family() - {*before}) >= 3)  # the next engine, and its own two
    assert len(berth.family()) <= len(before) + 2  # a spare may have been made meanwhile


async def test_a_second_one_says_that_there_is_one(shared: Berth) -> None:
    second = await shared.command("up", "--port", "0", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    _, said = await second.communicate()
    assert second.returncode == 1
    assert said.decode().count("\n") == 1
    assert f"Berth serves {shared.models} at {shared.url}/v1 (pid {shared.pid}) already" in said.decode()


async def test_a_command_that_serves_another_one_too_ends_when_that_has_its_answer(tmp_path: Path) -> None:
    home, store = Berth(tmp_path), put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf").parent
    install(tmp_path / "bin")

    async def asking(gate: Path, *options: str) -> asyncio.subprocess.Process:
        """A command whose answer ends once the file is there, after its first words."""
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        command = await home.command("run", "tiny", f"until {gate}", *options, **pipes)
        assert command.stdout
        assert await asyncio.wait_for(command.stdout.read(3), PATIENCE_SECONDS) == b"Par"
        return command

    first = await asking(tmp_path / "first", "--models", str(store))
    second = await asking(tmp_path / "second")
    assert first.stderr
    (tmp_path / "first").touch()
    while b"another command uses the server" not in (
        said := await asyncio.wait_for(first.stderr.readline(), PATIENCE_SECONDS)
    ):
        assert said, "it ended before the other one had its answer"
    assert first.returncode is None
    (tmp_path / "second").touch()
    assert ((await second.communicate())[0], second.returncode) == (b"is.\n", 0)
    assert ((await first.communicate())[0], first.returncode) == (b"is.\n", 0)


async def test_a_network_is_let_in_with_a_key_only(tmp_path: Path) -> None:
    install(tmp_path / "bin")
    refused = await Berth(tmp_path).command("up", "--host", "0.0.0.0", "--port", "0", stderr=asyncio.subprocess.PIPE)
    _, said = await refused.communicate()
    assert refused.returncode == 2
    assert said.decode().count("\n") == 1
    assert "BERTH_API_KEY" in said.decode()


async def test_a_start_that_takes_too_long_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what these tests stand on: a server that nobody ends would disturb all that come after."""
    put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf")
    started = Berth(tmp_path)
    monkeypatch.setattr("tests.waiting.PATIENCE_SECONDS", 0)
    with pytest.raises(TimeoutError):
        await started.start()
    assert started.family() == set()


async def test_logs_tell_what_every_engine_of_the_model_wrote(berth: Berth) -> None:
    async with berth.client() as client:
        await answer(client, "first")
        with pytest.raises(openai.APIError):
            await answer(client, "crash")
        await answer(client, "last")
    logs = await berth.command("logs", "tiny", stdout=asyncio.subprocess.PIPE)
    said, _ = await logs.communicate()
    status = await berth.command("status", stdout=asyncio.subprocess.PIPE)
    told = (await status.communicate())[0].decode()
    assert f"Store     {berth.models}, " in told
    assert f"llamacpp ({berth.models.parent}/bin/llama-server; cpu)" in told
    assert [word for word in (b"first", b"breaks", b"last") if word in said] == [b"first", b"breaks", b"last"]


async def test_the_log_of_one_that_failed_is_found_by_what_ps_prints_and_when_it_has_gone(berth: Berth) -> None:
    async def told(*arguments: str) -> str:
        command = await berth.command(
            *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        return (await command.communicate())[0].decode()

    (berth.home.parent / "bin" / "llama-server").write_text("#!/bin/sh\necho no room; exit 1\n")
    await told("run", "tiny", "Hi", "--n-ctx", "4096")
    deployment = (await told("ps")).splitlines()[1].split()[-1]
    for arguments in ((), ("tiny",), (deployment,), ("tiny", "--tail", "1")):
        assert "no room" in await told("logs", *arguments), arguments
    await told("stop", deployment)
    assert await told("ps") == ""
    assert "no room" in await told("logs", "tiny")
