"""LangChain's ChatOllama."""

from typing import Any

import ollama
import report
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_ollama import ChatOllama


def model(**options: Any) -> ChatOllama:
    asked: Any = {"model": report.MODEL, "temperature": 0, "num_predict": 64} | options
    return ChatOllama(base_url=report.URL, client_kwargs={"trust_env": False}, **asked)


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def chat() -> None:
    report.is_answer(model(validate_model_on_init=True).invoke(report.QUESTION).text)


def stream() -> None:
    parts = list(model().stream(report.QUESTION))
    report.is_answer("".join(part.text for part in parts))
    assert len(parts) > 3


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    asked = HumanMessage(report.WEATHER)
    answer = model().bind_tools([weather]).invoke([asked])
    assert answer.tool_calls, answer
    report.is_city(answer.tool_calls[0]["args"])
    told = ToolMessage("sunny", tool_call_id=answer.tool_calls[0]["id"])
    assert model().bind_tools([weather]).invoke([asked, answer, told]).content


def json_schema() -> None:
    bound = model().with_structured_output(report.SCHEMA | {"title": "capital"}, method="json_schema")
    answer: Any = bound.invoke(report.QUESTION)
    assert answer["capital"]


def errors() -> None:
    try:
        model(model="absent").invoke(report.QUESTION)
    except ollama.ResponseError as refused:
        assert refused.status_code == 404
    else:
        raise AssertionError("a model that is not there answers")


def cancel() -> None:
    parts: Any = model(num_predict=1500).stream(report.LONG)
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
