"""LangChain's ChatOpenAI."""

from typing import Any

import openai
import report
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI


def model(**options: Any) -> ChatOpenAI:
    asked: Any = {"model": report.MODEL, "temperature": 0, "max_tokens": 64, "max_retries": 0} | options
    return ChatOpenAI(base_url=f"{report.URL}/v1", api_key="none", **asked)


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def chat() -> None:
    report.is_answer(model().invoke(report.QUESTION).text)


def stream() -> None:
    parts = list(model(stream_usage=True).stream(report.QUESTION))
    report.is_answer("".join(part.text for part in parts))
    assert len(parts) > 3
    assert any(part.usage_metadata for part in parts)


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
    assert model().bind_tools([weather], tool_choice="none").invoke([asked, answer, told]).text


def json_schema() -> None:
    for method in ("json_schema", "function_calling"):
        bound = model().with_structured_output(report.SCHEMA | {"title": "capital"}, method=method)
        answer: Any = bound.invoke(report.QUESTION)
        assert answer["capital"], method


def responses() -> None:
    report.is_answer(model(use_responses_api=True).invoke(report.QUESTION).text)
    report.is_answer("".join(part.text for part in model(use_responses_api=True).stream(report.QUESTION)))
    bound = model(use_responses_api=True).with_structured_output(report.SCHEMA | {"title": "capital"})
    answer: Any = bound.invoke(report.QUESTION)
    assert answer["capital"]


def errors() -> None:
    try:
        model(model="absent").invoke(report.QUESTION)
    except openai.NotFoundError as refused:
        assert refused.code == "model_not_found"
    else:
        raise AssertionError("a model that is not there answers")
    try:
        model().invoke(report.TOO_LONG)
    except Exception as refused:
        assert type(refused).__name__ == "OpenAIContextOverflowError", repr(refused)
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
        "Responses": responses,
        "errors": errors,
        "cancel": cancel,
    }
)
