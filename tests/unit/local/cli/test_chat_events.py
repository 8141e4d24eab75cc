"""The stream of an answer, as engines and others write it."""

import json
from typing import Any

import pytest

from berth_local.cli.chat_events import ChatEvent, Finished, Text, Thought, Waiting, chat_events
from berth_local.cli.errors import CommandError, FailedError, NotNowError

END = "data: [DONE]"


def said(text: Any, **choice: Any) -> str:
    return "data: " + json.dumps({"choices": [{"delta": {"content": text}, **choice}]})


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([": tiny waits", "", ":", ":bare", END], [Waiting("tiny waits"), Finished(None, None)]),
        (
            ["event: message", "id: 3", "retry: 10", said("Hi", finish_reason="stop"), "", END],
            [Text("Hi"), Finished("stop", None)],
        ),
        ([said("Hi").replace("data: ", "data:"), "data:[DONE]"], [Text("Hi"), Finished(None, None)]),
        (['data: {"choices": [{"delta": {"reasoning": "hm"}}]}', END], [Thought("hm"), Finished(None, None)]),
        (['data: {"error": null, "choices": [], "usage": {"completion_tokens": 3}}', END],
         [Finished(None, {"completion_tokens": 3})]),
        ([said("a\ud83d"), said("\ude00b"), END], [Text("a\ufffd"), Text("\ufffdb"), Finished(None, None)]),
    ],
)  # fmt: skip
def test_what_the_lines_say(lines: list[str], events: list[ChatEvent]) -> None:
    assert list(chat_events(iter(lines))) == events


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        "5",
        '{"choices": 5}',
        '{"choices": [5]}',
        '{"choices": [{"delta": 5}]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": ["a"]}}]}',
        '{"choices": [{"delta": {"reasoning": 7}}]}',
        '{"choices": [{"delta": {}, "finish_reason": 7}]}',
        '{"usage": 5}',
        '{"usage": {"completion_tokens": "b"}}',
    ],
)
def test_what_no_engine_says_is_not_taken_for_an_answer(data: str) -> None:
    with pytest.raises(ValueError, match="no "):
        list(chat_events(iter([f"data: {data}", END])))


def test_a_page_is_no_answer() -> None:
    with pytest.raises(ValueError, match="no line"):
        list(chat_events(iter(["<html>Log in</html>"])))


@pytest.mark.parametrize("last", ["", 'data: {"choi', "data: " + "[" * 100_000])
def test_a_stream_that_ends_early_has_broken_off(last: str) -> None:
    with pytest.raises(FailedError, match="broke off before its end"):
        list(chat_events(iter([said("Hi"), last])))


@pytest.mark.parametrize(
    ("error", "kind"), [({"message": "gone", "code": "engine_error"}, FailedError), ({"message": 7}, NotNowError),
                        ({"message": "m", "code": ["x"]}, NotNowError), (5, NotNowError)],
)  # fmt: skip
def test_an_error_ends_the_answer(error: Any, kind: type[CommandError]) -> None:
    with pytest.raises(kind):
        list(chat_events(iter([f"data: {json.dumps({'error': error})}"])))
