"""`berth up` with the real engine and a real model: what becomes of children and clients when something dies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from berth_local.cli.sample_model import MODEL
from tests.e2e.test_local_command import sample
from tests.integration.local.running import Berth
from tests.waiting import until

__all__ = ["sample"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

QUESTION = "What is the capital of France?"
ORPHANS_LIVE_SECONDS = 2.0
"""Of a promise to users, not a measure of speed."""


@pytest.fixture
async def berth(tmp_path: Path, sample: Path) -> AsyncIterator[Berth]:
    (tmp_path / "models").mkdir()
    for name in (MODEL, "another"):
        (tmp_path / "models" / name).symlink_to(sample / MODEL)
    async with Berth(tmp_path, real_engine=True) as running:
        yield running


async def stream(client: openai.AsyncOpenAI, model: str = MODEL, tokens: int = 16) -> Any:
    create: Any = client.chat.completions.create
    messages = [{"role": "user", "content": QUESTION}]
    extra = {"ignore_eos": tokens > 100}
    return await create(model=model, messages=messages, stream=True, temperature=0, max_tokens=tokens, extra_body=extra)


async def answer(client: openai.AsyncOpenAI) -> str:
    return "".join([part.choices[0].delta.content or "" async for part in await stream(client)])


async def begun(client: openai.AsyncOpenAI, model: str) -> Any:
    """A stream that goes on for long, after its first words."""
    parts = await stream(client, model, tokens=1800)
    async for part in parts:
        if part.choices[0].delta.content:
            break
    return parts


def engines(berth: Berth) -> list[int]:
    """Processes that serve a model: each says so by the thread that llama.cpp keeps many of."""
    return [pid for pid in berth.family() if pid != berth.pid and len(os.listdir(f"/proc/{pid}/task")) > 20]  # noqa: PTH208


async def test_kill_9_under_load_leaves_no_child_and_a_restart_serves(berth: Berth) -> None:
    async with berth.client() as client:
        streams = await asyncio.gather(*(begun(client, model) for model in (MODEL, "another", MODEL, "another")))
        assert len(engines(berth)) == 2
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
        assert await answer(client)


async def test_an_engine_answers_its_berth_alone(berth: Berth) -> None:
    async with berth.client() as client, aiohttp.ClientSession() as session:
        assert await answer(client)
        (engine,) = engines(berth)
        url = f"http://127.0.0.1:{listening_port(engine)}"
        chat = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 1}
        for path in ("/v1/chat/completions", "/completion", "/tokenize", "/v1/embeddings"):
            async with session.post(url + path, json=chat, headers={"Origin": "http://elsewhere.example"}) as refused:
                assert refused.status == 401, path
        async with session.get(f"{url}/metrics") as refused:
            assert refused.status == 401


def listening_port(pid: int) -> int:
    """The TCP port at which this process listens on loopback."""
    inodes = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    (port,) = {row[1].rpartition(":")[2] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
    return int(port, 16)


async def test_an_engine_that_dies_in_mid_stream_is_seen_to_die_and_the_next_request_works(berth: Berth) -> None:
    async with berth.client() as client:
        parts = await begun(client, MODEL)
        (engine,) = engines(berth)
        os.kill(engine, 11)
        with pytest.raises(openai.APIError) as broken:
            async for _ in parts:
                pass
        assert "engine" in str(broken.value)
        assert await answer(client)
    assert engines(berth) != [engine]
