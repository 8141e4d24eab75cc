"""OpenAI's own client."""

from typing import Any, Literal

import openai
import pydantic
import report


class Capital(pydantic.BaseModel):
    """What the JSON schema is made from."""

    capital: Literal["Paris", "Rome"]


client = openai.OpenAI(base_url=f"{report.URL}/v1", api_key="none", max_retries=0)
QUESTION: Any = [{"role": "user", "content": report.QUESTION}]
WEATHER: Any = [{"role": "user", "content": report.WEATHER}]
LONG: Any = [{"role": "user", "content": report.LONG}]
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": report.CITY}} for name in ("weather", "time")
]
GREEDY: Any = {"model": report.MODEL, "temperature": 0, "max_tokens": 64}


def chat() -> None:
    answer = client.chat.completions.create(messages=QUESTION, **GREEDY)
    report.is_answer(answer.choices[0].message.content)
    assert answer.model == report.MODEL
    assert answer.usage
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0


def stream() -> None:
    parts = list(
        client.chat.completions.create(messages=QUESTION, stream=True, stream_options={"include_usage": True}, **GREEDY)
    )
    assert parts[0].choices[0].delta.role == "assistant"
    report.is_answer("".join(part.choices[0].delta.content or "" for part in parts if part.choices))
    assert len(parts) > 3
    assert parts[-1].usage
    with client.chat.completions.stream(messages=QUESTION, **GREEDY) as events:
        report.is_answer(events.get_final_completion().choices[0].message.content)


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    named: Any = {"type": "function", "function": {"name": "time"}}
    for choice in (named, "required", "auto"):
        answer = client.chat.completions.create(messages=WEATHER, tools=TOOLS, tool_choice=choice, **GREEDY)
        # OpenAI itself, and vLLM after it, say "stop" of a call that was named.
        reasons = {"tool_calls", "stop"} if choice == named else {"tool_calls"}
        assert answer.choices[0].finish_reason in reasons, (choice, answer.choices[0])
        [call] = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        if choice == named:
            assert call.function.name == "time"
        report.is_city(call.function.arguments)
    with client.chat.completions.stream(messages=WEATHER, tools=TOOLS, tool_choice="required", **GREEDY) as events:
        message = events.get_final_completion().choices[0].message
    assert message.tool_calls
    report.is_city(message.tool_calls[0].function.arguments)
    told = [*WEATHER, message.to_dict(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}]
    assert (
        client.chat.completions.create(messages=told, tools=TOOLS, tool_choice="none", **GREEDY)
        .choices[0]
        .message.content
    )


def json_schema() -> None:
    answer = client.chat.completions.parse(messages=QUESTION, response_format=Capital, **GREEDY)
    assert answer.choices[0].message.parsed


def responses() -> None:
    asked: Any = {"model": report.MODEL, "temperature": 0, "max_output_tokens": 64}
    answer = client.responses.create(input=QUESTION, **asked)
    assert answer.status == "completed"
    report.is_answer(answer.output_text)
    with client.responses.stream(input=report.QUESTION, **asked) as events:
        kinds = [event.type for event in events]
        report.is_answer(events.get_final_response().output_text)
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    parsed = client.responses.parse(input=report.QUESTION, text_format=Capital, **asked)
    assert parsed.output_parsed
    tool: Any = {"type": "function", "name": "weather", "parameters": report.CITY, "strict": False}
    called = client.responses.create(input=report.WEATHER, tools=[tool], tool_choice="required", **asked)
    report.is_city(next(item for item in called.output if item.type == "function_call").arguments)
    cut = client.responses.create(input=report.LONG, **asked | {"max_output_tokens": 16})
    assert cut.status == "incomplete"
    assert cut.incomplete_details
    assert cut.incomplete_details.reason == "max_output_tokens"


def errors() -> None:
    try:
        client.chat.completions.create(messages=QUESTION, model="absent")
    except openai.NotFoundError as refused:
        assert refused.code == "model_not_found", refused.code
    else:
        raise AssertionError("a model that is not there answers")
    try:
        client.chat.completions.create(messages=[{"role": "user", "content": report.TOO_LONG}], **GREEDY)
    except openai.BadRequestError as refused:
        assert refused.code == "context_length_exceeded", refused.code
    else:
        raise AssertionError("a prompt beyond the context is answered")


def cancel() -> None:
    with client.chat.completions.create(messages=LONG, stream=True, **GREEDY | {"max_tokens": 1500}) as parts:
        next(parts)
    report.nothing_in_hand()


def completions() -> None:
    answer = client.completions.create(prompt="The capital of France is", **GREEDY)
    report.is_answer(answer.choices[0].text)


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
