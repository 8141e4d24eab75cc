"""LangChain's ChatAnthropic."""

from typing import Any

import anthropic
import report
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage


def model(**options: Any) -> ChatAnthropic:
    asked: Any = {"model_name": report.MODEL, "temperature": 0, "max_tokens": 64, "max_retries": 0} | options
    return ChatAnthropic(base_url=report.URL, api_key="none", **asked)


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def chat() -> None:
    report.is_answer(model().invoke(report.QUESTION).text)


def stream() -> None:
    parts = list(model().stream(report.QUESTION))
    report.is_answer("".join(part.text for part in parts))
    assert len(parts) > 3


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    asked = HumanMessage(report.WEATHER)
    for choice in ("weather", "any", "auto"):
        answer = model().bind_tools([weather], tool_choice=choice).invoke([asked])
        assert answer.tool_calls, (choice, answer)
        report.is_city(answer.tool_calls[0]["args"])
    told = ToolMessage("sunny", tool_call_id=answer.tool_calls[0]["id"])
    assert model().bind_tools([weather]).invoke([asked, answer, told]).content


def json_schema() -> None:
    for method in ("json_schema", "function_calling"):
        bound = model().with_structured_output(report.SCHEMA | {"title": "capital"}, method=method)
        answer: Any = bound.invoke(report.WEATHER)
        assert answer["capital"], method


def errors() -> None:
    try:
        model(model_name="absent").invoke(report.QUESTION)
    except anthropic.NotFoundError:
        pass
    else:
        raise AssertionError("a model that is not there answers")
    try:
        model().invoke(report.TOO_LONG)
    except Exception as refused:
        assert type(refused).__name__ == "AnthropicContextOverflowError", repr(refused)
    else:
        raise AssertionError("a prompt beyond the context is answered")


def cancel() -> None:
    parts: Any = model(max_tokens=1500).stream(report.LONG)
    next(parts)
    parts.close()
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
