"""`berth up` as an Ollama: its own client, with the real engine and a real model."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ollama
import pytest

from berth_local.cli.sample_model import MODEL
from tests.e2e.test_local_command import sample
from tests.integration.local.running import Berth
from tests.waiting import PATIENCE_SECONDS

__all__ = ["sample"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

NAME = f"{MODEL}:latest"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 16}


@pytest.fixture(scope="module")
async def client(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Ollama's client for one server that all tests share."""
    folder = tmp_path_factory.mktemp("ollama")
    (folder / "models").mkdir()
    (folder / "models" / MODEL).symlink_to(sample / MODEL)
    make: Any = ollama.AsyncClient  # its types are not all known
    async with (
        Berth(folder, real_engine=True) as running,
        make(running.url, trust_env=False, timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


async def test_an_answer_is_the_same_in_lines_and_at_once(client: Any) -> None:
    parts = [part async for part in await client.chat(NAME, QUESTION, stream=True, options=GREEDY)]
    whole = await client.chat(NAME, QUESTION, options=GREEDY)
    prompted = await client.generate(MODEL, QUESTION[0]["content"], options=GREEDY)
    assert len(parts) > 3
    assert whole.message.content
    assert "".join(part.message.content for part in parts) == whole.message.content == prompted.response
    for last in (parts[-1], whole):
        assert (last.done, last.done_reason, last.model, last.eval_count) == (True, "length", NAME, 16)
        assert last.prompt_eval_count > 0
        assert last.total_duration >= last.eval_duration > 0


async def test_a_raw_prompt_goes_on(client: Any) -> None:
    answer = await client.generate(NAME, "The capital of France is", raw=True, options=GREEDY)
    assert "Paris" in answer.response


async def test_an_answer_without_a_limit_ends_by_itself(client: Any) -> None:
    answer = await client.chat(NAME, QUESTION, options={"temperature": 0, "stop": [","]})
    assert answer.done_reason == "stop"
    assert answer.message.content


async def test_an_answer_has_the_form_that_is_asked_for(client: Any) -> None:
    form: Any = {"type": "object", "properties": {"capital": {"type": "string"}}, "required": ["capital"]}
    answer = await client.chat(NAME, QUESTION, format=form, options={"temperature": 0, "num_predict": 64})
    assert answer.message.content.startswith("{")
    assert '"capital"' in answer.message.content


async def test_models_are_listed_shown_and_loaded(client: Any) -> None:
    (model,) = (await client.list()).models
    assert (model.model, model.details.family) == (NAME, "llama")
    shown = await client.show(NAME)
    assert "completion" in shown.capabilities
    assert "messages" in shown.template
    loaded = await client.generate(NAME, keep_alive="20m")
    assert loaded.done_reason == "load"
    (running,) = (await client.ps()).models
    assert (running.model, running.context_length) == (NAME, 8192)  # what the model was made for
    assert running.size > 0
    assert running.expires_at > datetime.now(UTC)


async def test_a_model_that_makes_text_makes_no_vectors(client: Any) -> None:
    with pytest.raises(ollama.ResponseError) as refused:
        await client.embed(NAME, "Paris")
    assert 400 <= refused.value.status_code < 600
    assert refused.value.error


async def test_a_model_is_unloaded(client: Any) -> None:
    await client.generate(NAME)
    assert (await client.generate(NAME, "", keep_alive=0)).done_reason == "unload"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await client.ps()).models:  # noqa: ASYNC110 (another process: nothing here could set an event)
            await asyncio.sleep(0.1)
