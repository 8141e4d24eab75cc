"""Pydantic AI, by OpenAI's and Anthropic's APIs."""

from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import report
from anthropic import AsyncAnthropic
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

GREEDY: Any = {"max_tokens": 64, "extra_body": {"temperature": 0}}


class Capital(pydantic.BaseModel):
    """The capital of a country."""

    capital: Literal["Paris", "Rome"]


def openais(kind: Any = OpenAIChatModel, name: str = report.MODEL) -> Any:
    client = openai.AsyncOpenAI(base_url=f"{report.URL}/v1", api_key="none", max_retries=0)
    return kind(name, provider=OpenAIProvider(openai_client=client))


def anthropics(name: str = report.MODEL) -> Any:
    client = AsyncAnthropic(base_url=report.URL, api_key="none", max_retries=0)
    profile = ModelProfile(supports_json_schema_output=True)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client), profile=profile)


def both() -> Iterator[Any]:
    yield openais()
    yield anthropics()


def agent(model: Any, **options: Any) -> Any:
    return Agent(model, model_settings=GREEDY, retries=0, **options)


async def chat() -> None:
    for model in both():
        report.is_answer((await agent(model).run(report.QUESTION)).output)


async def stream() -> None:
    for model in both():
        await streamed(model)


async def streamed(model: Any) -> None:
    async with agent(model).run_stream(report.QUESTION) as answer:
        parts = [part async for part in answer.stream_text(delta=True, debounce_by=None)]
    report.is_answer("".join(parts))
    assert len(parts) > 3


async def cold_stream() -> None:
    report.unload()
    await stream()


async def tools() -> None:
    asked: list[str] = []

    def weather(city: str) -> str:
        """The weather."""
        asked.append(city)
        return "sunny"

    for count, model in enumerate(both(), 1):
        assert (await agent(model, tools=[weather]).run(report.WEATHER)).output
        assert len(asked) >= count


async def json_schema() -> None:
    for model in both():
        answer = await agent(model, output_type=NativeOutput(Capital)).run(report.WEATHER)
        assert answer.output.capital
    answer = await agent(openais(), output_type=ToolOutput(Capital)).run(report.QUESTION)
    assert answer.output.capital


async def responses() -> None:
    model = openais(OpenAIResponsesModel)
    report.is_answer((await agent(model).run(report.QUESTION)).output)
    await streamed(model)
    answer = await agent(model, output_type=NativeOutput(Capital)).run(report.QUESTION)
    assert answer.output.capital


async def errors() -> None:
    for model in (openais(name="absent"), anthropics("absent")):
        try:
            await agent(model).run(report.QUESTION)
        except ModelHTTPError as refused:
            assert refused.status_code == 404
        else:
            raise AssertionError("a model that is not there answers")


async def cancel() -> None:
    async with agent(openais()).run_stream(report.LONG, model_settings={"max_tokens": 1500}) as answer:
        async for _ in answer.stream_text(debounce_by=None):
            break
        await answer.cancel()
    report.nothing_in_hand()


report.report(
    {
        "chat": chat,
        "stream": stream,
        "cold stream": cold_stream,
        "tools": tools,
        "JSON schema": json_schema,
        "Responses": responses,
        "errors": errors,
        "cancel": cancel,
    }
)
