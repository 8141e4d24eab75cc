"""Ollama's own client."""

from typing import Any

import ollama
import report

client = ollama.Client(report.URL, trust_env=False)
QUESTION: Any = [{"role": "user", "content": report.QUESTION}]
GREEDY: Any = {"model": report.MODEL, "options": {"temperature": 0, "num_predict": 64}}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "weather", "parameters": report.CITY}}
]


def chat() -> None:
    report.is_answer(client.chat(messages=QUESTION, **GREEDY).message.content)
    report.is_answer(client.generate(prompt=report.QUESTION, **GREEDY).response)


def stream() -> None:
    parts = list(client.chat(messages=QUESTION, stream=True, **GREEDY))
    report.is_answer("".join(part.message.content or "" for part in parts))
    assert len(parts) > 3
    assert parts[-1].done


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    asked: Any = [{"role": "user", "content": report.WEATHER}]
    for streaming in (False, True):
        answer: Any = client.chat(messages=asked, tools=TOOLS, stream=streaming, **GREEDY)
        parts = list(answer) if streaming else [answer]
        calls = [call for part in parts for call in part.message.tool_calls or []]
        assert calls, parts
        report.is_city(calls[0].function.arguments)


def json_schema() -> None:
    answer = client.chat(messages=QUESTION, format=report.SCHEMA, **GREEDY)
    assert answer.message.content
    assert '"capital"' in answer.message.content


def errors() -> None:
    try:
        client.chat("absent", QUESTION)
    except ollama.ResponseError as refused:
        assert refused.status_code == 404
    else:
        raise AssertionError("a model that is not there answers")


def cancel() -> None:
    asked: Any = [{"role": "user", "content": report.LONG}]
    parts: Any = client.chat(messages=asked, stream=True, **GREEDY | {"options": {"num_predict": 1500}})
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
