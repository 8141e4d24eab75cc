"""OpenAI's Agents SDK."""

from typing import Any, Literal

import agents
import openai
import pydantic
import report


class Capital(pydantic.BaseModel):
    """The capital of a country."""

    capital: Literal["Paris", "Rome"]


agents.set_tracing_disabled(True)


@agents.function_tool
def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def agent(kind: Any = agents.OpenAIChatCompletionsModel, name: str = report.MODEL, **options: Any) -> agents.Agent[Any]:
    client = openai.AsyncOpenAI(base_url=f"{report.URL}/v1", api_key="none", max_retries=0)
    settings = agents.ModelSettings(temperature=0, max_tokens=options.pop("max_tokens", 64)).resolve(
        agents.ModelSettings(tool_choice=options.pop("tool_choice", None))
    )
    return agents.Agent(name="asked", model=kind(name, client), model_settings=settings, **options)


async def chat() -> None:
    report.is_answer((await agents.Runner.run(agent(), report.QUESTION)).final_output)


async def streamed(asked: agents.Agent[Any]) -> None:
    running = agents.Runner.run_streamed(asked, report.QUESTION)
    kinds = [event.type async for event in running.stream_events()]
    assert kinds.count("raw_response_event") > 3
    report.is_answer(running.final_output)


async def stream() -> None:
    await streamed(agent())


async def cold_stream() -> None:
    report.unload()
    await stream()


async def tools() -> None:
    for choice in ("weather", "required", None):
        run = await agents.Runner.run(agent(tools=[weather], tool_choice=choice), report.WEATHER)
        assert any(item.type == "tool_call_output_item" for item in run.new_items), (choice, run.new_items)


async def json_schema() -> None:
    run = await agents.Runner.run(agent(output_type=Capital), report.QUESTION)
    assert run.final_output.capital


async def responses() -> None:
    kind = agents.OpenAIResponsesModel
    report.is_answer((await agents.Runner.run(agent(kind), report.QUESTION)).final_output)
    await streamed(agent(kind))
    run = await agents.Runner.run(agent(kind, output_type=Capital), report.QUESTION)
    assert run.final_output.capital
    run = await agents.Runner.run(agent(kind, tools=[weather], tool_choice="weather"), report.WEATHER)
    assert any(item.type == "tool_call_output_item" for item in run.new_items), run.new_items


async def errors() -> None:
    try:
        await agents.Runner.run(agent(name="absent"), report.QUESTION)
    except openai.NotFoundError as refused:
        assert refused.code == "model_not_found"
    else:
        raise AssertionError("a model that is not there answers")


async def cancel() -> None:
    running = agents.Runner.run_streamed(agent(max_tokens=1500), report.LONG)
    async for event in running.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            break
    running.cancel()
    async for _ in running.stream_events():
        pass
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
