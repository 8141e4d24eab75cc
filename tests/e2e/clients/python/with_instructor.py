"""Instructor: structures, in each of the ways that it asks for them."""

from typing import Any, Literal

import instructor
import openai
import pydantic
import report


class Capital(pydantic.BaseModel):
    """The capital of a country."""

    capital: Literal["Paris", "Rome"]


def client(mode: instructor.Mode) -> Any:
    made = openai.OpenAI(base_url=f"{report.URL}/v1", api_key="none", max_retries=0)
    return instructor.from_openai(made, mode=mode)


QUESTION: Any = [{"role": "user", "content": report.QUESTION}]
GREEDY: Any = {"model": report.MODEL, "temperature": 0, "max_retries": 0}


def chat() -> None:
    answer = client(instructor.Mode.JSON_SCHEMA).create(Capital, QUESTION, max_tokens=64, **GREEDY)
    assert answer.capital


def stream() -> None:
    parts = list(client(instructor.Mode.JSON_SCHEMA).create_partial(Capital, QUESTION, max_tokens=64, **GREEDY))
    assert len(parts) > 3
    assert parts[-1].capital


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    for mode in (instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT):
        assert client(mode).create(Capital, QUESTION, max_tokens=64, **GREEDY).capital


def json_schema() -> None:
    assert client(instructor.Mode.JSON_SCHEMA).create(Capital, QUESTION, max_tokens=64, **GREEDY).capital


def responses() -> None:
    answer = client(instructor.Mode.RESPONSES_TOOLS).create(Capital, QUESTION, max_output_tokens=64, **GREEDY)
    assert answer.capital


def errors() -> None:
    try:
        client(instructor.Mode.TOOLS).create(Capital, QUESTION, **GREEDY | {"model": "absent"})
    except Exception as refused:
        assert "not in the model store" in str(refused), repr(refused)
    else:
        raise AssertionError("a model that is not there answers")


report.report(
    {
        "chat": chat,
        "stream": stream,
        "cold stream": cold_stream,
        "tools": tools,
        "JSON schema": json_schema,
        "Responses": responses,
        "errors": errors,
    }
)
