"""The Responses API on one machine, with OpenAI's client and a real engine."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import openai
import pytest
from pydantic import BaseModel

from berth_local.cli.sample_model import MODEL
from tests.e2e.test_local_command import sample
from tests.integration.local.running import Berth
from tests.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from openai.types.responses import Response

__all__ = ["sample"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

QUESTION = "What is the capital of France?"
GREEDY: Any = {"model": MODEL, "temperature": 0, "max_output_tokens": 16}


class City(BaseModel):
    """A form that an answer must have."""

    name: str
    country: str


@pytest.fixture(scope="module")
async def client(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client for one server that all tests share."""
    folder = tmp_path_factory.mktemp("responses")
    (folder / "models").mkdir()
    (folder / "models" / MODEL).symlink_to(sample / MODEL)
    async with (
        Berth(folder, real_engine=True) as running,
        openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


async def respond(client: openai.AsyncOpenAI, **fields: Any) -> "Response":
    """A whole answer."""
    return cast("Response", await client.responses.create(**fields))


async def test_a_cold_stream_is_the_same_as_the_answer_at_once(client: openai.AsyncOpenAI) -> None:
    events = [event async for event in await client.responses.create(input=QUESTION, stream=True, **GREEDY)]
    whole = await respond(client, input=QUESTION, **GREEDY)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert (events[0].type, events[-1].type) == ("response.created", "response.incomplete")
    assert (whole.status, whole.incomplete_details and whole.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert whole.usage
    assert whole.usage.output_tokens == 16


async def test_an_answer_has_the_form_that_is_asked_for(client: openai.AsyncOpenAI) -> None:
    asked: Any = {**GREEDY, "max_output_tokens": 200}
    answer = await client.responses.parse(input="Paris is in France.", text_format=City, **asked)
    assert answer.output_parsed
    async with client.responses.stream(input="Paris is in France.", text_format=City, **asked) as stream:
        streamed = await stream.get_final_response()
    assert streamed.output_parsed == answer.output_parsed


async def test_a_conversation_goes_on_with_the_items_of_the_answer(client: openai.AsyncOpenAI) -> None:
    first = await respond(client, input=QUESTION, **GREEDY)
    sent: Any = [{"role": "user", "content": QUESTION}, *first.output, {"role": "user", "content": "Are you sure?"}]
    second = await respond(client, input=sent, instructions="Be short.", **GREEDY)
    assert second.output_text
    assert first.usage
    assert second.usage
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens


async def test_a_prompt_that_is_too_long_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="exceeds the available context size") as raised:
        await client.responses.create(input="word " * 40_000, **GREEDY)
    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "input")
