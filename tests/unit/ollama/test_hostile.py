"""Whatever clients and engines send: an answer, or Ollama's error, and nothing else."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.engine_answers.error_text import error_text
from berth_router.errors import APIError
from berth_router.ollama.calls import InferenceCall
from berth_router.ollama.chat import chat_call
from berth_router.ollama.embed import embed_answer, embed_call, embeddings_answer, embeddings_call
from berth_router.ollama.errors import OllamaError
from berth_router.ollama.generate import generate_call
from berth_router.ollama.lines import AnswerShape
from berth_router.ollama.pull import pull_call
from berth_router.ollama.requests import model_of
from berth_router.ollama.stream import AnswerStream, whole_answer
from tests.unit.examples import examples
from tests.unit.ollama.clocks import answer_clock

NAMES = [
    *("model", "name", "messages", "role", "content", "thinking", "images", "tool_calls", "tool_call_id", "tool_name"),
    *("function", "arguments", "id", "index", "tools", "format", "think", "options", "keep_alive", "stream", "prompt"),
    *("suffix", "raw", "system", "template", "context", "input", "truncate", "dimensions", "logprobs", "top_logprobs"),
    *("num_ctx", "num_predict", "stop", "seed", "ttl", "choices", "delta", "message", "text", "finish_reason", "usage"),
    *("prompt_tokens", "completion_tokens", "timings", "prompt_ms", "error", "stop_type", "data", "embedding"),
]
TEXTS = [
    "",
    "llama",
    "user",
    "assistant",
    "tool",
    "5m",
    "json",
    "{}",
    '{"a":1}',
    "iVBORw0KGgo=",
    "stop",
    "length",
    "a@b:c",
]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=40,
)
BODIES = st.fixed_dictionaries({"model": st.just("llama")}, optional=dict.fromkeys(NAMES[2:], JSON)) | JSON

DEEP: Any = orjson.loads(b"[" * 1000 + b"]" * 1000)

REQUESTS: list[Callable[[object], Any]] = [
    chat_call,
    generate_call,
    embed_call,
    embeddings_call,
    pull_call,
    model_of,
]


def ask(request: Callable[[object], Any], body: object) -> None:
    """Makes a call of the body, and JSON of that; any exception but OllamaError passes."""
    with suppress(OllamaError):
        call = request(body)
        if isinstance(call, InferenceCall):
            assert isinstance(orjson.loads(call.content()), dict)


@pytest.mark.parametrize("request_of", REQUESTS)
@given(body=BODIES)
@settings(max_examples=examples(60))  # of each request
def test_any_body_is_a_call_or_refused(request_of: Callable[[object], Any], body: object) -> None:
    ask(request_of, body)


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize("field", NAMES)
def test_any_field_may_be_deep(request_of: Callable[[object], Any], field: str) -> None:
    for deep in (DEEP, {"type": DEEP}, [{"role": "user", "function": {"name": "a", "arguments": {"a": DEEP}}}]):
        ask(request_of, {"model": "llama", "prompt": "a", "messages": [{"role": "user"}], field: deep})


@given(st.lists(JSON | st.sampled_from([b"[DONE]", b"{", b"\xff"]), max_size=6))
@settings(max_examples=examples(150))
def test_any_stream_is_lines_that_end_once(events: list[Any]) -> None:
    data = [event if isinstance(event, bytes) else orjson.dumps(event) for event in events]
    answer = AnswerStream(AnswerShape.CHAT, "llama", answer_clock())
    sent = b"".join([*(answer.feed(b"data: " + each + b"\n\n") for each in data), answer.end()])
    *pieces, last = [orjson.loads(line) for line in sent.splitlines()]
    assert all(line["done"] is False for line in pieces)
    assert last.get("done") is True or last.keys() == {"error"}


@given(st.binary(max_size=200).filter(lambda data: b"[DONE]" not in data))
@settings(max_examples=examples(200))
def test_any_bytes_are_a_stream_that_broke_off(data: bytes) -> None:
    answer = AnswerStream(AnswerShape.GENERATE, "llama", answer_clock())
    assert orjson.loads((answer.feed(data) + answer.end()).splitlines()[-1]).keys() == {"error"}


@given(JSON.map(orjson.dumps) | st.binary(max_size=50))
@settings(max_examples=examples(500))
def test_any_whole_answer_is_read_or_refused(content: bytes) -> None:
    for read in (
        lambda: whole_answer(AnswerShape.CHAT, "llama", content, answer_clock()),
        lambda: embed_answer("llama", content, answer_clock()),
        lambda: embeddings_answer(content),
    ):
        with suppress(APIError):
            assert isinstance(orjson.loads(read()), dict)


@pytest.mark.parametrize(
    "deep",
    [
        {"choices": [{"logprobs": {"content": DEEP}}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "a", "arguments": {"a": DEEP}}}]}}]},
        {"error": DEEP},
    ],
)
def test_an_engines_answer_may_be_deep(deep: dict[str, Any]) -> None:
    content = to_json(deep)
    with pytest.raises(APIError):
        whole_answer(AnswerShape.CHAT, "llama", content, answer_clock())


@pytest.mark.parametrize("name", ["error", "message", "detail"])
def test_an_error_may_be_deep(name: str) -> None:
    deep: Any = "no"
    for _ in range(5000):
        deep = {name: deep}
    assert error_text(deep)


def to_json(value: Any) -> bytes:
    """JSON deeper than orjson writes it."""
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return b"{%b}" % b",".join(orjson.dumps(name) + b":" + to_json(item) for name, item in items.items())
    if isinstance(value, list) and value is not DEEP:
        return b"[%b]" % b",".join(map(to_json, value))  # pyright: ignore[reportUnknownArgumentType]
    return b"[" * 400 + b"]" * 400 if value is DEEP else orjson.dumps(value)
