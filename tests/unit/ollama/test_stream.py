"""An engine's answer, as lines of Ollama's."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.engine_answers.error_text import error_text
from berth_router.errors import APIError
from berth_router.ollama.lines import AnswerShape, LineWriter
from berth_router.ollama.stream import AnswerStream, whole_answer
from tests.unit.examples import examples
from tests.unit.ollama.clocks import SetClock, answer_clock

NOON = "2026-01-31T12:00:00.000000Z"
HEAD = {"model": "llama:latest", "created_at": NOON}
DONE = b"data: [DONE]\n\n"
BROKEN_OFF = {"error": "The answer broke off before its end."}


def event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]})


def usage(**timings: float) -> bytes:
    counts = {"prompt_tokens": 11, "completion_tokens": 2}
    return event({"choices": [], "usage": counts, **({"timings": timings} if timings else {})})


def call_delta(finish_reason: str | None = None, **function: Any) -> bytes:
    index = {"index": function.pop("index")} if "index" in function else {}
    own_id = {"id": function.pop("id")} if "id" in function else {}
    return delta(finish_reason, tool_calls=[{**index, **own_id, "type": "function", "function": function}])


def lines_of(pieces: Sequence[bytes], shape: AnswerShape = AnswerShape.CHAT) -> list[dict[str, Any]]:
    stream = AnswerStream(shape, "llama:latest", answer_clock())
    answer = b"".join([*(stream.feed(piece) for piece in pieces), stream.end()])
    assert answer == b"" or answer.endswith(b"\n")
    return [orjson.loads(line) for line in answer.splitlines()]


def said(content: str = "", **fields: Any) -> dict[str, Any]:
    return {**HEAD, "message": {"role": "assistant", "content": content, **fields}, "done": False}


def ended(reason: str = "stop", **figures: int) -> dict[str, Any]:
    durations = {"total_duration": 0, "load_duration": 0, "prompt_eval_duration": 1, "eval_duration": 1}
    end = {"done": True, "done_reason": reason, **durations, **figures}
    return {**HEAD, "message": {"role": "assistant", "content": ""}, **end}


COUNTED: dict[str, Any] = {"prompt_eval_count": 11, "eval_count": 2}
WEATHER = {"function": {"index": 0, "name": "weather", "arguments": {"city": "Ulm"}}}

STREAMS: list[tuple[str, list[bytes], list[dict[str, Any]]]] = [
    (
        "a text",
        [
            delta(role="assistant", content=None),
            delta(content="Hel"),
            delta(content="lo"),
            delta("stop"),
            usage(),
            DONE,
        ],
        [said("Hel"), said("lo"), ended(**COUNTED)],
    ),
    (
        "comments, other fields, and lines that end as in HTTP",
        [b": queued\n\n", b"event: message\r\nid: 1\r\n", delta(content="a").replace(b"\n", b"\r\n"), b"\n\n", DONE],
        [said("a"), ended()],
    ),
    (
        "an event whose data has two lines",
        [b'data: {"choices":\ndata: [{"delta":{"content":"a"}}]}\n\n', DONE],
        [said("a"), ended()],
    ),
    ("an answer that was cut off", [delta("length", content="a"), DONE], [said("a"), ended("length")]),
    (
        "thinking, by either name",
        [delta(reasoning_content="hm"), delta(reasoning="so"), delta(content="a"), DONE],
        [said(thinking="hm"), said(thinking="so"), said("a"), ended()],
    ),
    (
        "a call in pieces",
        [
            call_delta(index=0, id="x", name="weather", arguments=""),
            call_delta(index=0, arguments='{"city":'),
            call_delta(index=0, arguments='"Ulm"}'),
            delta("tool_calls"),
            DONE,
        ],
        [said(tool_calls=[{"id": "x", **WEATHER}]), ended()],
    ),
    (
        "two calls, whose pieces have no index",
        [
            call_delta(name="weather", arguments='{"city":"Ulm"}'),
            call_delta(name="time"),
            call_delta(arguments='{"zone"'),
            call_delta(arguments=":1}"),
            DONE,
        ],
        [said(tool_calls=[WEATHER, {"function": {"index": 1, "name": "time", "arguments": {"zone": 1}}}]), ended()],
    ),
    (
        "a call without arguments, and one whose arguments are an object already",
        [call_delta(index=0, name="weather", arguments={"city": "Ulm"}), call_delta(index=1, name="time"), DONE],
        [said(tool_calls=[WEATHER, {"function": {"index": 1, "name": "time", "arguments": {}}}]), ended()],
    ),
    (
        "a call that was cut off",
        [call_delta(index=0, name="weather", arguments='{"city'), delta("length"), DONE],
        [ended("length")],
    ),
    (
        "a call that is none",
        [call_delta(index=0, name="weather", arguments="Ulm"), delta("tool_calls"), DONE],
        [{"error": "The model called the tool 'weather' with arguments that are not a JSON object."}],
    ),
    (
        "probabilities of tokens",
        [
            event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -1}]}}]}),
            DONE,
        ],
        [{**said("a"), "logprobs": [{"token": "a", "logprob": -1}]}, ended()],
    ),
    (
        "the engine's own durations",
        [delta(content="a"), usage(prompt_ms=12.5, predicted_ms=100), DONE],
        [said("a"), ended(**COUNTED, prompt_eval_duration=12_500_000, eval_duration=100_000_000)],
    ),
    (
        "an error after the answer began",
        [delta(content="a"), event({"error": {"message": "The engine ended.", "code": "engine_failed"}}), DONE],
        [said("a"), {"error": "The engine ended."}],
    ),
    ("an error that is a text", [event({"error": "no"})], [{"error": "no"}]),
    (
        "an engine without [DONE]",
        [delta(content="a"), delta("length"), usage()],
        [said("a"), ended("length", **COUNTED)],
    ),
    (
        "a call of a tool from an engine without [DONE]",
        [call_delta(index=0, name="weather", arguments='{"city":"Ulm"}'), delta("tool_calls")],
        [said(tool_calls=[WEATHER]), ended()],
    ),
    (
        "a wrong call of a tool from an engine without [DONE]",
        [call_delta(index=0, name="weather", arguments="Ulm"), delta("tool_calls")],
        [{"error": "The model called the tool 'weather' with arguments that are not a JSON object."}],
    ),
    ("an answer that breaks off", [delta(content="a")], [said("a"), BROKEN_OFF]),
    ("an answer that breaks off within an event", [delta(content="a"), DONE[:-2]], [said("a"), BROKEN_OFF]),
    ("nothing at all", [], [BROKEN_OFF]),
    ("what is not JSON", [b"data: {\n\n", DONE], [{"error": "The engine sent an answer that is not JSON."}]),
    ("JSON that is no object", [b"data: 1\n\n"], [{"error": "The engine sent an answer that is not a JSON object."}]),
    ("what comes after the end", [DONE, delta(content="a"), event({"error": "no"})], [ended()]),
    (
        "events that say nothing",
        [event({}), event({"choices": None}), event({"choices": [None]}), event({"choices": [{"delta": "a"}]}), DONE],
        [ended()],
    ),
]


@pytest.mark.parametrize(("stream", "lines"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_a_stream_becomes_lines(stream: list[bytes], lines: list[dict[str, Any]]) -> None:
    assert lines_of(stream) == lines


@given(st.sampled_from([row[1:] for row in STREAMS]), st.data())
@settings(max_examples=examples(500))
def test_however_a_stream_is_cut_the_lines_are_the_same(
    row: tuple[list[bytes], list[dict[str, Any]]], data: st.DataObject
) -> None:
    stream = b"".join(row[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert lines_of(pieces) == row[1]


TEXT = [
    event({"choices": [{"text": "a", "finish_reason": None}]}),
    event({"choices": [{"text": "", "finish_reason": "length"}]}),
]
INFILL = [
    event({"content": "a", "stop": False}),
    event({"content": "", "stop": True, "stop_type": "limit", "tokens_evaluated": 11, "tokens_predicted": 2}),
]


@pytest.mark.parametrize(
    ("stream", "figures"),
    [([*TEXT, DONE], {}), (INFILL, COUNTED), ([*INFILL, DONE], COUNTED)],
    ids=["text", "infill", "both"],
)
def test_a_text_comes_as_a_response(stream: list[bytes], figures: dict[str, Any]) -> None:
    piece, last = lines_of(stream, AnswerShape.GENERATE)
    assert piece == {**HEAD, "response": "a", "done": False}
    assert last == {
        "response": "",
        **{name: value for name, value in ended("length", **figures).items() if name != "message"},
    }


def test_thinking_stands_beside_a_response() -> None:
    piece, _ = lines_of([delta(reasoning_content="hm"), DONE], AnswerShape.GENERATE)
    assert piece == {**HEAD, "response": "", "thinking": "hm", "done": False}


def test_durations_are_those_that_passed() -> None:
    clock = SetClock()
    counted = answer_clock(clock)
    stream = AnswerStream(AnswerShape.CHAT, "llama:latest", counted)
    clock.now = 5_000_000_000
    counted.sent_to_engine()
    clock.now = 5_300_000_000
    first = orjson.loads(stream.feed(delta(content="a")))
    clock.now = 7_000_000_000
    last = orjson.loads(stream.feed(usage() + DONE))
    assert first["created_at"] == "2026-01-31T12:00:05.300000Z"
    assert last["total_duration"] == 7_000_000_000
    assert last["load_duration"] == 5_000_000_000
    assert last["prompt_eval_duration"] == 300_000_000
    assert last["eval_duration"] == 1_700_000_000


def test_the_stream_knows_how_it_ended() -> None:
    whole, broken = (AnswerStream(AnswerShape.CHAT, "llama", answer_clock()) for _ in range(2))
    whole.feed(DONE)
    broken.end()
    assert (whole.ended, whole.failed) == (True, False)
    assert (broken.ended, broken.failed) == (True, True)


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 2**20, b"data: x\n" * 2**17], ids=["a line", "many lines"])
def test_an_event_without_end_is_an_error(endless: bytes) -> None:
    stream = AnswerStream(AnswerShape.CHAT, "llama", answer_clock())
    answer = b"".join(stream.feed(endless) for _ in range(40))
    assert b"error" in answer
    assert answer.count(b"\n") == 1


def test_calls_without_end_are_an_error() -> None:
    stream = AnswerStream(AnswerShape.CHAT, "llama", answer_clock())
    answer = b"".join(stream.feed(call_delta(index=0, arguments="x" * 2**20)) for _ in range(20))
    assert orjson.loads(answer) == {"error": "The engine's calls of tools do not end."}


WHOLE: list[tuple[AnswerShape, dict[str, Any], dict[str, Any]]] = [
    (
        AnswerShape.CHAT,
        {"message": {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}, "finish_reason": "stop"},
        {"message": {"role": "assistant", "content": "Hello", "thinking": "hm"}, "done_reason": "stop"},
    ),
    (
        AnswerShape.CHAT,
        {
            "message": {
                "content": None,
                "tool_calls": [{"id": "x", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}],
            },
            "finish_reason": "tool_calls",
        },
        {
            "message": {"role": "assistant", "content": "", "tool_calls": [{"id": "x", **WEATHER}]},
            "done_reason": "stop",
        },
    ),
    (
        AnswerShape.GENERATE,
        {"message": {"content": "Hello"}, "finish_reason": "length"},
        {"response": "Hello", "done_reason": "length"},
    ),
    (AnswerShape.GENERATE, {"text": "Hello", "finish_reason": "stop"}, {"response": "Hello", "done_reason": "stop"}),
]


@pytest.mark.parametrize(("shape", "choice", "answer"), WHOLE)
def test_a_whole_answer(shape: AnswerShape, choice: dict[str, Any], answer: dict[str, Any]) -> None:
    content = orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 2}})
    given_back = orjson.loads(whole_answer(shape, "llama:latest", content, answer_clock()))
    expected = {name: value for name, value in ended(**COUNTED).items() if name != "message"}
    assert given_back == {**expected, **answer}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "The engine sent an answer that is not JSON."),
        (b"[]", "The engine sent an answer that is not a JSON object."),
        (b'{"error":{"message":"no"}}', "no"),
    ],
)
def test_a_whole_answer_that_is_none(content: bytes, text: str) -> None:
    with pytest.raises(APIError) as refused:
        whole_answer(AnswerShape.CHAT, "llama", content, answer_clock())
    assert (refused.value.status, refused.value.message) == (502, text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"error": {"message": "no", "type": "server_error", "param": None, "code": None}}, "no"),
        ({"message": "no"}, "no"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"]}]}, '[{"loc":["body"]}]'),
        ("no", "no"),
        ({}, "{}"),
    ],
)
def test_an_error_is_told_in_its_own_words(error: Any, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_request_that_only_loads_or_unloads_is_answered_without_a_text(reason: str) -> None:
    line = orjson.loads(LineWriter(AnswerShape.GENERATE, "llama", answer_clock()).without_engine(reason))
    assert (line["response"], line["done"], line["done_reason"]) == ("", True, reason)
