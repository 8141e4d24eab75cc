"""Anthropic's own client."""

from typing import Any, Literal

import anthropic
import pydantic
import report


class Capital(pydantic.BaseModel):
    """What the JSON schema is made from."""

    capital: Literal["Paris", "Rome"]


client = anthropic.Anthropic(base_url=report.URL, api_key="none", max_retries=0)
QUESTION: Any = [{"role": "user", "content": report.QUESTION}]
WEATHER: Any = [{"role": "user", "content": report.WEATHER}]
TOOLS: Any = [{"name": name, "description": name, "input_schema": report.CITY} for name in ("weather", "time")]
GREEDY: Any = {"model": report.MODEL, "max_tokens": 64, "extra_body": {"temperature": 0}}


def chat() -> None:
    answer = client.messages.create(messages=QUESTION, **GREEDY)
    [block] = answer.content
    report.is_answer(getattr(block, "text", None))
    assert answer.model == report.MODEL
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


def stream() -> None:
    with client.messages.stream(messages=QUESTION, **GREEDY) as events:
        texts = list(events.text_stream)
        report.is_answer(events.get_final_text())
    assert len(texts) > 3
    assert events.get_final_message().stop_reason in {"end_turn", "max_tokens"}


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    choices: list[Any] = [{"type": "tool", "name": "time"}, {"type": "any"}, {"type": "auto"}]
    for choice in choices:
        answer = client.messages.create(messages=WEATHER, tools=TOOLS, tool_choice=choice, **GREEDY)
        assert answer.stop_reason == "tool_use", (choice, answer)
        use: Any = next(block for block in answer.content if block.type == "tool_use")
        if choice["type"] == "tool":
            assert use.name == "time"
        report.is_city(use.input)
    with client.messages.stream(messages=WEATHER, tools=TOOLS, tool_choice={"type": "any"}, **GREEDY) as events:
        last = events.get_final_message()
    use = next(block for block in last.content if block.type == "tool_use")
    report.is_city(use.input)
    told = [
        *WEATHER,
        {"role": "assistant", "content": last.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]},
    ]
    assert client.messages.create(messages=told, tools=TOOLS, tool_choice={"type": "none"}, **GREEDY).content


def json_schema() -> None:
    answer = client.messages.parse(messages=WEATHER, output_format=Capital, **GREEDY)
    assert answer.parsed_output


def errors() -> None:
    try:
        client.messages.create(messages=QUESTION, **GREEDY | {"model": "absent"})
    except anthropic.NotFoundError as refused:
        assert refused.type == "not_found_error", refused.body
    else:
        raise AssertionError("a model that is not there answers")
    try:
        client.messages.create(messages=[{"role": "user", "content": report.TOO_LONG}], **GREEDY)
    except anthropic.BadRequestError as refused:
        assert "prompt is too long" in str(refused), refused.body
    else:
        raise AssertionError("a prompt beyond the context is answered")


def cancel() -> None:
    with client.messages.stream(
        messages=[{"role": "user", "content": report.LONG}], **GREEDY | {"max_tokens": 1500}
    ) as events:
        next(iter(events))
    report.nothing_in_hand()


report.report(
    {
        "chat": chat,
        "stream": stream,
        "cold stream": cold_stream,
        "tools": tools,
        "JSON schema": json_schema,
        "errors": errors,
        "cancel": cancel,
    }
)
