"""An engine's answer, as events of a response, and as one object."""

from collections.abc import Sequence
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from berth_router.errors import EngineFailedError
from berth_router.responses.items import Answered
from berth_router.responses.reasoning import carried
from berth_router.responses.request import read_request
from berth_router.responses.stream import ResponseStream
from berth_router.responses.whole import whole_response
from tests.unit.examples import examples

DONE = b"data: [DONE]\n\n"
TOOLS = [
    {"type": "function", "name": "weather"},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "sky", "description": "d", "tools": [{"type": "function", "name": "sun"}]},
]


def answered(**fields: Any) -> Answered:
    return Answered(read_request({"model": "llama", "input": "Hi", "tools": TOOLS, **fields}), "0a", 7)


def event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]})


def called(index: int | None, *, call_id: str = "", name: str = "", arguments: Any = "") -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {**place, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 2,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
COUNTED = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 13,
}
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


def sent(pieces: Sequence[bytes], **fields: Any) -> list[dict[str, Any]]:
    """The events, each as its name says, with numbers from 0 up."""
    stream = ResponseStream(answered(stream=True, **fields))
    raw = b"".join([*(stream.feed(piece) for piece in pieces), stream.end()])
    assert stream.ended
    found: list[dict[str, Any]] = []
    for lines in raw.removesuffix(b"\n\n").split(b"\n\n"):
        name, _, data = lines.partition(b"\n")
        found.append(orjson.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    assert [each.pop("sequence_number") for each in found] == list(range(len(found)))
    return found


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events]


def message(text: str, status: str = "completed", index: int = 0, logprobs: Any = ()) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": [*logprobs]}]
    return {"id": f"msg_0a{index:02}", "type": "message", "role": "assistant", "status": status, "content": content}


def reasoning(text: str, status: str = "completed", **fields: Any) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    item = {"id": "rs_0a00", "type": "reasoning", "summary": [], "content": content, "encrypted_content": None}
    return {**item, "status": status, **fields}


def call(arguments: str, index: int = 0, status: str = "completed", **fields: Any) -> dict[str, Any]:
    item = {"id": f"fc_0a{index:02}", "type": "function_call", "call_id": "c1", "name": "weather", "status": status}
    return {**item, "arguments": arguments, **fields}


STREAMS: list[tuple[str, list[bytes], list[str], list[dict[str, Any]]]] = [
    (
        "a text",
        [delta(role="assistant", content=None), delta(content="Hel"), delta(content="lo"), delta("stop"), DONE],
        [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *("output_text.delta", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ],
        [message("Hello")],
    ),
    (
        "an answer that was cut off",
        [delta(content="a"), delta("length"), DONE],
        [
            *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "incomplete"),
        ],
        [message("a", "incomplete")],
    ),
    (
        "an engine without [DONE]",
        [delta(content="a"), delta("stop")],
        [
            *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ],
        [message("a")],
    ),
    (
        "nothing said",
        [delta(content=""), delta("stop"), DONE],
        [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ],
        [message("")],
    ),
    (
        "thought, then said",
        [delta(reasoning_content="h"), delta(reasoning="m"), delta(content="a"), delta("stop"), DONE],
        [
            *("created", "in_progress", "output_item.added", "content_part.added"),
            *("reasoning_text.delta", "reasoning_text.delta"),
            *("reasoning_text.done", "content_part.done", "output_item.done"),
            *("output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ],
        [reasoning("hm"), message("a", index=1)],
    ),
    (
        "two calls in pieces, side by side",
        [
            delta(tool_calls=[called(0, call_id="c1", name="weather"), called(1, call_id="c2", name="sky__sun")]),
            delta(tool_calls=[called(0, arguments='{"a"')]),
            delta(tool_calls=[called(1, arguments="{}"), called(0, arguments=":1}")]),
            delta("tool_calls"),
            DONE,
        ],
        [
            *("created", "in_progress", "output_item.added", "output_item.added"),
            *(["function_call_arguments.delta"] * 3),
            *("function_call_arguments.done", "output_item.done"),
            *("function_call_arguments.done", "output_item.done", "completed"),
        ],
        [call('{"a":1}'), call("{}", 1, name="sun", call_id="c2", namespace="sky")],
    ),
    (
        "calls without an index or an id, the arguments as an object or left out",
        [
            delta(content="a", tool_calls=[called(None, name="weather", arguments={"a": 1})]),
            delta(tool_calls=[called(None, name="weather")]),
            delta("tool_calls"),
            DONE,
        ],
        [
            *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done"),
            *("output_item.added", "function_call_arguments.delta", "output_item.added"),
            *("function_call_arguments.done", "output_item.done"),
            *("function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed"),
        ],
        [message("a"), call('{"a":1}', 1, call_id="call_0a01"), call("{}", 2, call_id="call_0a02")],
    ),
    (
        "a call whose name comes later, and which was cut off",
        [
            delta(tool_calls=[called(0, call_id="c1", arguments="{")]),
            delta("length", tool_calls=[called(0, name="weather")]),
        ],
        [
            *("created", "in_progress", "output_item.added", "function_call_arguments.delta"),
            *("function_call_arguments.done", "output_item.done", "incomplete"),
        ],
        [call("{", status="incomplete")],
    ),
    (
        "a custom tool gets its text at once",
        [
            delta(tool_calls=[called(0, call_id="c1", name="patch", arguments='{"inp')]),
            delta(tool_calls=[called(0, arguments='ut":"x\\ny"}')]),
            delta("tool_calls"),
            DONE,
        ],
        [
            *("created", "in_progress", "output_item.added"),
            *("custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done", "completed"),
        ],
        [
            {
                "id": "ctc_0a00",
                "type": "custom_tool_call",
                "call_id": "c1",
                "name": "patch",
                "status": "completed",
                "input": "x\ny",
            }
        ],
    ),
    (
        "tokens with their probabilities",
        [
            event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [LOGPROB]}}]}),
            delta("stop"),
            DONE,
        ],
        [
            *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ],
        [message("a", logprobs=[LOGPROB])],
    ),
]
ROWS: Any = pytest.mark.parametrize(
    ("stream", "names", "output"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS]
)


@ROWS
def test_a_stream_becomes_events(stream: list[bytes], names: list[str], output: list[dict[str, Any]]) -> None:
    events = sent(stream)
    assert kinds(events) == names
    assert events[-1]["response"]["output"] == output
    assert [each["item"] for each in events if each["type"] == "response.output_item.done"] == output


@ROWS
def test_openais_client_takes_the_events(stream: list[bytes], names: list[str], output: list[dict[str, Any]]) -> None:
    """Each is what its type says, and what adds up from the pieces is what the last one has."""
    read: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    state: Any = ResponseStreamState(input_tools=[], text_format=openai.omit)
    said = ""
    for number, each in enumerate(sent(stream)):
        parsed = read.validate_python({**each, "sequence_number": number}, strict=True)
        said += "".join(one.delta for one in state.handle_event(parsed) if one.type == "response.output_text.delta")
    texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
    assert said == "".join(texts)


@given(st.sampled_from([row[1:] for row in STREAMS]), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_however_a_stream_is_cut_the_events_are_the_same(row: Any, data: st.DataObject) -> None:
    stream = b"".join(row[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert sent(pieces) == sent(row[0])


def test_the_object_has_all_that_clients_require() -> None:
    events = sent(
        [delta(content="a"), delta("length"), event({"choices": [], "usage": USAGE}), DONE],
        metadata={"a": "b"},
        max_output_tokens=5,
        temperature=0.5,
    )
    begun, ended = events[0]["response"], events[-1]["response"]
    assert begun == {**ended, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    Response.model_validate(ended, strict=True)
    assert ended.items() >= {"id": "resp_0a", "object": "response", "created_at": 7, "model": "llama"}.items()
    assert (ended["status"], ended["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (ended["usage"], ended["metadata"], ended["store"], ended["error"]) == (COUNTED, {"a": "b"}, False, None)
    assert (ended["max_output_tokens"], ended["temperature"], ended["top_p"]) == (5, 0.5, None)
    assert ended["tools"][0] == {**TOOLS[0], "description": None, "parameters": None, "strict": None}
    assert ended["text"] == {"format": {"type": "text"}, "verbosity": "medium"}


def test_what_was_thought_is_the_summary_for_whom_asks_for_one() -> None:
    events = sent([delta(reasoning_content="hm"), delta("stop"), DONE], reasoning={"summary": "auto"})
    assert kinds(events)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert events[-2]["item"] == reasoning("hm", summary=[{"type": "summary_text", "text": "hm"}], content=[])


def test_what_was_thought_is_carried_for_whom_sends_only_that_back() -> None:
    events = sent([delta(reasoning_content="hm"), delta("stop"), DONE], include=["reasoning.encrypted_content"])
    assert events[-2]["item"]["encrypted_content"] == carried("hm")


ERROR = {"message": "The engine ended.", "type": "server_error", "code": "engine_failed", "param": None}
BROKEN: list[tuple[str, list[bytes], list[str], dict[str, Any]]] = [
    ("an error", [delta(content="a"), event({"error": ERROR}), DONE], ["output_text.delta"], ERROR),
    ("an error at once", [event({"error": ERROR})], [], ERROR),
    ("an error that is a text", [event({"error": "no"})], [], {"message": "no", "code": "server_error"}),
    ("a stream that breaks off", [delta(content="a")], ["output_text.delta"], {"code": "engine_failed"}),
    ("nothing at all", [], [], {"code": "engine_failed"}),
    ("what is not JSON", [b"data: {\n\n", DONE], [], {"code": "engine_error"}),
]


@pytest.mark.parametrize(("stream", "last", "error"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_stream_that_breaks_is_seen_to_break(stream: list[bytes], last: list[str], error: dict[str, Any]) -> None:
    *before, told, failed = sent(stream)
    assert kinds(before)[-1:] == last
    assert told["error"].items() >= error.items()
    assert {name: told[name] for name in ("code", "message", "param")}.items() <= told["error"].items()
    assert (told["type"], failed["type"]) == ("error", "response.failed")
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": told["code"], "message": told["message"]}
    Response.model_validate({**failed["response"], "error": None}, strict=True)


def whole(finish_reason: str = "stop", **fields: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": fields, "finish_reason": finish_reason}], "usage": USAGE})


WHOLE: list[tuple[str, bytes, list[dict[str, Any]]]] = [
    ("a text", whole(content="a"), [message("a")]),
    ("cut off", whole("length", content="a"), [message("a", "incomplete")]),
    ("nothing", whole(content=None), [message("")]),
    ("thought", whole(content="a", reasoning_content="hm"), [reasoning("hm"), message("a", index=1)]),
    ("a call", whole(content=None, tool_calls=[called(None, call_id="c1", name="weather")]), [call("{}")]),
]


@pytest.mark.parametrize(("content", "output"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_whole_answer_becomes_a_response(content: bytes, output: list[dict[str, Any]]) -> None:
    response = orjson.loads(whole_response(answered(), content))
    assert response["output"] == output
    assert response["status"] == output[-1]["status"]
    assert response["usage"] == COUNTED
    Response.model_validate(response, strict=True)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"error":{"message":"no"}}'])
def test_a_whole_answer_that_makes_no_sense_is_an_error(content: bytes) -> None:
    with pytest.raises(EngineFailedError):
        whole_response(answered(), content)


NAMES = ["choices", "delta", "content", "reasoning", "tool_calls", "function", "name", "arguments", "id", "index"]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "{}", "weather", "patch", "stop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "error", "usage", "finish_reason", "logprobs"]), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(st.lists(JSON | st.sampled_from([b"[DONE]", b"{", b"\xff"]), max_size=6))
@settings(max_examples=examples(150), deadline=None)
def test_any_stream_ends_once(events: list[Any]) -> None:
    data = [each if isinstance(each, bytes) else orjson.dumps(each) for each in events]
    *_, last = kinds(sent([b"data: " + each + b"\n\n" for each in data]))
    assert last in ("completed", "failed", "incomplete")


def deep_event(template: dict[str, Any]) -> bytes:
    """An event in which the text DEEP stands for lists deeper than orjson writes them."""
    return event(template).replace(b'"DEEP"', b"[" * 400 + b"]" * 400)


def test_an_engines_answer_may_be_deep() -> None:
    calls = [called(0, name="weather", arguments={"a": "DEEP"})]
    logprobs = {"delta": {"content": "a"}, "logprobs": {"content": "DEEP"}}
    error = {"message": "DEEP", "param": "DEEP", "code": "DEEP"}
    for deep in ({"choices": [{"delta": {"tool_calls": calls}}]}, {"choices": [logprobs]}, {"error": error}):
        assert kinds(sent([deep_event(deep), DONE]))[-2:] == ["error", "failed"]
    assert kinds(sent([deep_event({"choices": [{"delta": {"content": "DEEP"}}]}), DONE]))[-1] == "completed"
