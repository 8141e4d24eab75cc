"""LlamaIndex's OpenAILike."""

import gc
from typing import Any, Literal

import openai
import pydantic
import report
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike, OpenAILikeResponses


class Capital(pydantic.BaseModel):
    """The capital of a country."""

    capital: Literal["Paris", "Rome"]


def model(kind: Any = OpenAILike, **options: Any) -> Any:
    asked: Any = {"model": report.MODEL, "temperature": 0, "max_retries": 0, "is_chat_model": True, "timeout": 300}
    asked |= {
        "is_function_calling_model": True,
        "should_use_structured_outputs": True,
        "context_window": 2048,
    } | options
    return kind(api_base=f"{report.URL}/v1", api_key="none", **asked)


QUESTION = [ChatMessage(role="user", content=report.QUESTION)]


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def chat() -> None:
    report.is_answer(model(max_tokens=64).chat(QUESTION).message.content)


def stream() -> None:
    parts = list(model(max_tokens=64).stream_chat(QUESTION))
    report.is_answer(parts[-1].message.content)
    assert len(parts) > 3


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    tool = FunctionTool.from_defaults(weather)
    for required in (True, False):
        answer = model(max_tokens=64).chat_with_tools([tool], user_msg=report.WEATHER, tool_required=required)
        [call] = model().get_tool_calls_from_response(answer)
        report.is_city(call.tool_kwargs)


def json_schema() -> None:
    answer = model(max_tokens=64).structured_predict(Capital, PromptTemplate(report.QUESTION))
    assert answer.capital


def responses() -> None:
    asked = model(OpenAILikeResponses, max_output_tokens=64)
    report.is_answer(asked.chat(QUESTION).message.content)
    parts = list(asked.stream_chat(QUESTION))
    report.is_answer(parts[-1].message.content)


def errors() -> None:
    try:
        model(model="absent").chat(QUESTION)
    except openai.NotFoundError as refused:
        assert refused.code == "model_not_found"
    else:
        raise AssertionError("a model that is not there answers")
    try:
        model().chat([ChatMessage(role="user", content=report.TOO_LONG)])
    except openai.BadRequestError as refused:
        assert refused.code == "context_length_exceeded", refused.code
    else:
        raise AssertionError("a prompt beyond the context is answered")


def cancel() -> None:
    parts = model(max_tokens=1500).stream_chat([ChatMessage(role="user", content=report.LONG)])
    next(parts)
    parts.close()
    gc.collect()  # what it has wrapped is closed with its last reference
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
