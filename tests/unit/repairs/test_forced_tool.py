"""The answer to a request that must call one certain tool."""

from typing import Any

import orjson
import pytest

from berth_api.inference import CHAT_COMPLETIONS
from tests.unit.repairs.example import LLAMACPP, Answered
from tests.unit.repairs.forced_tool_examples import BARE, LOOK, NAMED
from tests.unit.repairs.test_table import client_gets

ONE_OF_TWO = "one of two"
ARGUMENTS = r'{"a": "}\"{", "b": [{}]}'
CALL = f'{{ "name": "look",\n "arguments" : {ARGUMENTS} }}'


def answered(answer: bytes, *, streams: bool, choice: object = NAMED) -> bytes:
    tools = [BARE, LOOK] if choice in (NAMED, ONE_OF_TWO) else [LOOK]
    choice = "required" if choice is ONE_OF_TWO else choice
    sent = {"tools": tools, "tool_choice": choice}
    return client_gets(Answered(CHAT_COMPLETIONS, LLAMACPP, sent, answer, b"", streams), answer)


@pytest.mark.parametrize("choice", [NAMED, "required"])
def test_the_answer_is_the_call(choice: object) -> None:
    engine = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"a": 1}'}}]
    }
    [got] = orjson.loads(answered(orjson.dumps(engine), streams=False, choice=choice))["choices"]
    [call] = got["message"]["tool_calls"]
    assert (got["finish_reason"], got["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]) == ("function", {"name": "look", "arguments": '{"a": 1}'})
    assert call["id"]


def test_a_call_that_is_cut_off_says_so() -> None:
    engine = {"choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": '{"a'}}]}
    [got] = orjson.loads(answered(orjson.dumps(engine), streams=False))["choices"]
    assert got["finish_reason"] == "length"
    assert got["message"]["tool_calls"][0]["function"]["arguments"] == '{"a'


def test_a_stream_is_the_call_part_by_part() -> None:
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": None}, None),
        ({"reasoning_content": "Hm."}, None),
        ({"content": '{"a"'}, None),
        ({"content": ": 1}"}, None),
        ({}, "stop"),
    ]
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas]
    sent = b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events) + b"data: [DONE]\n\n"
    *chunks, done = answered(sent, streams=True).removesuffix(b"\n\n").split(b"\n\n")
    assert done == b"data: [DONE]"
    got = [orjson.loads(chunk.removeprefix(b"data: "))["choices"][0] for chunk in chunks]
    first, second = [choice["delta"]["tool_calls"][0] for choice in got if "tool_calls" in choice["delta"]]
    assert (first["index"], first["type"], first["function"]) == (0, "function", {"name": "look", "arguments": '{"a"'})
    assert second == {"index": 0, "function": {"arguments": ": 1}"}}
    assert [choice["finish_reason"] for choice in got] == [None, None, None, None, "tool_calls"]
    assert not any(choice["delta"].get("content") for choice in got)
    assert got[1]["delta"] == {"reasoning_content": "Hm."}


def whole(text: str, reason: str = "stop") -> dict[str, Any]:
    engine = {"choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}]}
    return orjson.loads(answered(orjson.dumps(engine), streams=False, choice=ONE_OF_TWO))["choices"][0]


def test_of_several_tools_the_call_is_that_of_the_one_that_the_model_chose() -> None:
    got = whole(CALL)
    [call] = got["message"]["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": ARGUMENTS}
    assert (got["finish_reason"], got["message"]["content"], "index" in call) == ("tool_calls", None, False)


def test_an_answer_that_is_cut_off_before_its_tool_is_known_has_no_call() -> None:
    got = whole('{"name": "lo', "length")
    assert "tool_calls" not in got["message"]
    assert got["finish_reason"] == "length"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_stream_names_the_chosen_tool_first_and_then_its_arguments(size: int) -> None:
    pieces = [CALL[at : at + size] for at in range(0, len(CALL), size)]
    deltas = [{"role": "assistant", "content": None}, *({"content": piece} for piece in pieces)]
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas
    ]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    sent = b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events) + b"data: [DONE]\n\n"
    *chunks, _ = answered(sent, streams=True, choice=ONE_OF_TWO).removesuffix(b"\n\n").split(b"\n\n")
    choices = [orjson.loads(chunk.removeprefix(b"data: "))["choices"][0] for chunk in chunks]
    calls = [choice["delta"]["tool_calls"][0]["function"] for choice in choices if "tool_calls" in choice["delta"]]
    assert calls[0]["name"] == "look"
    assert "".join(call["arguments"] for call in calls) == ARGUMENTS
    assert choices[0]["delta"]["role"] == "assistant"
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert all(choice["delta"] or choice["finish_reason"] for choice in choices)
