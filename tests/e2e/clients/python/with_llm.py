"""The command `llm`, by its own Python interface and the file that its users write."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["LLM_USER_PATH"] = tempfile.mkdtemp()
os.environ["OPENAI_API_KEY"] = "none"
MODELS = [
    {
        "model_id": name,
        "model_name": name,
        "api_base": f"{os.environ['BERTH_URL']}/v1",
        "supports_schema": True,
        "supports_tools": True,
    }
    for name in (os.environ["BERTH_MODEL"], "absent")
]
Path(os.environ["LLM_USER_PATH"], "extra-openai-models.yaml").write_text(json.dumps(MODELS))  # JSON is YAML

import llm
import openai
import report

GREEDY: Any = {"temperature": 0, "max_tokens": 64}


def ask(prompt: str = report.QUESTION, name: str = report.MODEL, **options: Any) -> Any:
    return llm.get_model(name).prompt(prompt, **GREEDY | options)


def chat() -> None:
    report.is_answer(ask(stream=False).text())


def stream() -> None:
    parts = list(ask(stream=True))
    report.is_answer("".join(parts))
    assert len(parts) > 3


def cold_stream() -> None:
    report.unload()
    stream()


def weather(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def tools() -> None:
    for streaming in (False, True):
        answer = ask(report.WEATHER, tools=[weather], stream=streaming)
        answer.text()
        [call] = answer.tool_calls()
        report.is_city(call.arguments)
    talk: Any = llm.get_model(report.MODEL).conversation()
    first = next(
        iter(talk.chain(report.WEATHER, tools=[weather], stream=False, chain_limit=1, options=GREEDY).responses())
    )
    assert first.tool_calls()


def json_schema() -> None:
    assert json.loads(ask(schema=report.SCHEMA, stream=False).text())["capital"]


def errors() -> None:
    try:
        ask(name="absent").text()
    except (openai.NotFoundError, llm.ModelError) as refused:
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
        "errors": errors,
    }
)
