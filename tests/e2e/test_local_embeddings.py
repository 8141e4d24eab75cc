"""One machine with the real llama.cpp: inputs of embeddings up to the model's own length, and ranking."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from tests.integration.local.running import Berth
from tests.tiny_bert import TRAINED_TOKENS, words, write_bert


@pytest.fixture
async def berth(tmp_path: Path) -> AsyncIterator[Berth]:
    await asyncio.to_thread(write_bert, tmp_path / "models/embeds/embeds.gguf")
    async with Berth(tmp_path, real_engine=True) as running:
        yield running


async def test_an_input_is_as_long_as_its_context_allows(berth: Berth) -> None:
    async with berth.client() as client:
        for tokens in (5, 600, TRAINED_TOKENS - 1):  # 512 are the engine's own limit
            made = await client.embeddings.create(
                model="embeds", input=words(tokens), extra_body={"n_ctx": TRAINED_TOKENS}
            )
            assert made.usage.prompt_tokens == tokens
            assert len(made.data[0].embedding) == 32


async def test_a_context_beyond_what_the_model_was_made_for_does_not_break_it(berth: Berth) -> None:
    async with berth.client() as client:
        stated = {"n_ctx": 2 * TRAINED_TOKENS}
        made = await client.embeddings.create(model="embeds", input=words(600), extra_body=stated)
        assert made.usage.prompt_tokens == 600
        with pytest.raises(openai.BadRequestError, match="n_ctx"):
            await client.embeddings.create(model="embeds", input=words(TRAINED_TOKENS + 100), extra_body=stated)
        assert (await client.embeddings.create(model="embeds", input=words(5))).data, "it still answers"
