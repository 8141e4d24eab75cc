"""LiteLLM, by each of the providers that fit."""

import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import report

QUESTION: Any = [{"role": "user", "content": report.QUESTION}]
WEATHER: Any = [{"role": "user", "content": report.WEATHER}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": report.CITY}}]
GREEDY: Any = {"temperature": 0, "max_tokens": 64, "num_retries": 0}
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"api_base": f"{report.URL}/v1", "api_key": "none"},
    "anthropic": {"api_base": report.URL, "api_key": "none"},
    "ollama_chat": {"api_base": report.URL},
}


def ask(provider: str = "openai", messages: Any = QUESTION, model: str = report.MODEL, **options: Any) -> Any:
    return litellm.completion(f"{provider}/{model}", messages, **PROVIDERS[provider], **GREEDY | options)


def chat() -> None:
    for provider in PROVIDERS:
        report.is_answer(ask(provider).choices[0].message.content)


def stream() -> None:
    for provider in PROVIDERS:
        parts = list(ask(provider, stream=True))
        report.is_answer("".join(part.choices[0].delta.content or "" for part in parts))
        assert len(parts) > 3


def cold_stream() -> None:
    report.unload()
    stream()


def tools() -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in (named, "required", "auto"):
        for provider in ("openai", "anthropic"):
            answer = ask(provider, WEATHER, tools=TOOLS, tool_choice=choice)
            assert answer.choices[0].message.tool_calls, (provider, choice, answer)
            report.is_city(answer.choices[0].message.tool_calls[0].function.arguments)


def json_schema() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "capital", "schema": report.SCHEMA, "strict": True}}
    for provider in PROVIDERS:
        answer = ask(provider, WEATHER, response_format=form)
        assert '"capital"' in answer.choices[0].message.content, provider


def responses() -> None:
    asked: Any = {"model": f"openai/{report.MODEL}", "input": report.QUESTION, "max_output_tokens": 64}
    where = PROVIDERS["openai"]
    answer: Any = litellm.responses(**asked, **where, temperature=0)
    report.is_answer(answer.output[-1].content[0].text)
    events: Any = litellm.responses(**asked, **where, temperature=0, stream=True)
    kinds = [str(event.type.value) for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def errors() -> None:
    for provider in PROVIDERS:
        try:
            ask(provider, model="absent")
        except (litellm.NotFoundError, litellm.APIConnectionError) as refused:
            assert provider == "ollama_chat" or isinstance(refused, litellm.NotFoundError), repr(refused)
        else:
            raise AssertionError("a model that is not there answers")
    for provider in ("openai", "anthropic"):
        try:
            ask(provider, [{"role": "user", "content": report.TOO_LONG}])
        except litellm.ContextWindowExceededError:
            pass
        else:
            raise AssertionError("a prompt beyond the context is answered")


def cancel() -> None:
    parts = ask(messages=[{"role": "user", "content": report.LONG}], stream=True, max_tokens=1500)
    next(parts)
    parts.completion_stream.close()
    report.nothing_in_hand()


litellm.suppress_debug_info = True
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
