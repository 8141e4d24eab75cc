"""A request of the Responses API, as the chat completion that engines get."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_router.errors import InvalidRequestError
from berth_router.responses.reasoning import carried
from berth_router.responses.request import REFUSED, ResponsesCall, read_request
from tests.unit.examples import examples


def read(**fields: Any) -> ResponsesCall:
    return read_request({"model": "llama", "input": "Hi", **fields})


def chat(**fields: Any) -> dict[str, Any]:
    """What the chat completion has besides model and messages."""
    return {name: value for name, value in read(**fields).body.items() if name not in ("model", "messages")}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


HI = user("Hi")
TEXT_B = {"type": "input_text", "text": "b"}
IMAGE = "data:image/png;base64,aa"
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city":"Ulm"}'}
CALLED: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
GAVE = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
SAID = {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "Well."}]}

INPUTS: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("a text", "Hi", [HI]),
    ("a message without a type", [HI], [HI]),
    ("a message with one", [{"type": "message", "id": "msg_1", "status": "completed", **HI}], [HI]),
    ("texts in parts", [user([{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}])], [user("a\nb")]),
    (
        "an image beside a text",
        [user([{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": IMAGE, "detail": "low"}])],
        [user([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}])],
    ),
    (
        "sound",
        [user([{"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}}])],
        [user([{"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}}])],
    ),
    (
        "instructions before the first message are one",
        [
            {"role": "developer", "content": "a"},
            {"role": "system", "content": [TEXT_B]},
            HI,
        ],
        [{"role": "system", "content": "a\n\nb"}, HI],
    ),
    ("later ones stay", [HI, {"role": "developer", "content": "a"}], [HI, {"role": "system", "content": "a"}]),
    ("an answer", [HI, SAID, HI], [HI, {"role": "assistant", "content": "Well."}, HI]),
    (
        "a refusal is what was said",
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{"role": "assistant", "content": "No."}],
    ),
    (
        "what was thought, said and called is one message",
        [
            HI,
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            SAID,
            CALL,
            {**CALL, "call_id": "c2"},
            OUTPUT,
            {**OUTPUT, "call_id": "c2"},
        ],
        [
            HI,
            {
                "role": "assistant",
                "content": "Well.",
                "reasoning_content": "hm",
                "tool_calls": [CALLED, {**CALLED, "id": "c2"}],
            },
            GAVE,
            {**GAVE, "tool_call_id": "c2"},
        ],
    ),
    (
        "a tool's output in parts",
        [
            CALL,
            {**OUTPUT, "output": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": IMAGE}]},
        ],
        [
            {"role": "assistant", "content": "", "tool_calls": [CALLED]},
            {**GAVE, "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": IMAGE}}]},
        ],
    ),
    (
        "a custom tool's call",
        [
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": 'a "b"'},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "sunny"},
        ],
        [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "patch", "arguments": '{"input":"a \\"b\\""}'},
                    }
                ],
            },
            GAVE,
        ],
    ),
    (
        "a call within a namespace",
        [{**CALL, "namespace": "mcp__sky__"}],
        [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{**CALLED, "function": {**CALLED["function"], "name": "mcp__sky__weather"}}],
            }
        ],
    ),
]


@pytest.mark.parametrize(("sent", "messages"), [row[1:] for row in INPUTS], ids=[row[0] for row in INPUTS])
def test_items_become_messages(sent: Any, messages: list[dict[str, Any]]) -> None:
    assert read(input=sent).body["messages"] == messages


def test_instructions_come_first() -> None:
    messages = read(instructions="Be short.", input=[{"role": "developer", "content": "a"}, HI]).body["messages"]
    assert messages == [{"role": "system", "content": "Be short.\n\na"}, HI]


@pytest.mark.parametrize(
    ("item", "thought"),
    [
        ({"summary": [{"type": "summary_text", "text": "so"}]}, "so"),
        ({"summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": carried("hm")}, "hm"),
        ({"summary": [], "content": None, "encrypted_content": carried("hm")}, "hm"),
        ({"summary": [], "encrypted_content": "gAAAAB-of-somebody-else"}, None),
        ({"summary": [], "encrypted_content": "AAAA"}, None),
        ({"summary": []}, None),
    ],
)
def test_what_was_thought_goes_back_as_far_as_the_client_has_it(item: dict[str, Any], thought: str | None) -> None:
    message = read(input=[{"type": "reasoning", **item}, SAID]).body["messages"][0]
    assert message.get("reasoning_content") == thought


WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "d",
    "parameters": {"type": "object"},
    "strict": True,
}
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}, "description": "d", "strict": True},
}
TIME = {"type": "function", "name": "time"}
TIME_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "time", "parameters": {"type": "object", "properties": {}}},
}
PATCH = {"type": "custom", "name": "patch", "description": "d"}
ONE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
PATCH_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "patch", "description": "d", "parameters": ONE_TEXT},
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
GRAMMAR_SAID = "d\n\n`input` must follow this lark grammar:\nstart: x"
AGENTS: dict[str, Any] = {"type": "namespace", "name": "agents", "description": "d", "tools": [WEATHER, PATCH]}
SEARCH_OF_CODEX = {"type": "web_search", "external_web_access": False}

FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"temperature": 0, "top_p": 0.5, "seed": 1, "stop": ["x"]},
        {"temperature": 0, "top_p": 0.5, "seed": 1, "stop": ["x"]},
    ),
    ({"ttl": 5, "backend": "vllm", "n_ctx": 4096}, {"ttl": 5, "backend": "vllm", "n_ctx": 4096}),
    ({"max_output_tokens": 5}, {"max_tokens": 5}),
    ({"max_output_tokens": -1}, {"max_tokens": -1}),
    (
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"stream": True, "stream_options": {"include_usage": True}},
    ),
    ({"stream": False}, {"stream": False}),
    ({"reasoning": {"effort": "xhigh", "summary": "auto"}}, {"reasoning_effort": "high"}),
    ({"reasoning": {"effort": None}}, {}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
    ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 0}),
    (
        {
            "store": True,
            "metadata": {"a": "b"},
            "user": "u",
            "prompt_cache_key": "k",
            "service_tier": "auto",
            "truncation": "auto",
            "include": [],
            "client_metadata": {},
            "safety_identifier": "s",
            "max_tool_calls": 1,
            "previous_response_id": None,
            "background": False,
            "conversation": None,
            "context_management": [],
        },
        {},
    ),
    ({"tools": [WEATHER, TIME]}, {"tools": [WEATHER_TOOL, TIME_TOOL]}),
    (
        {"tools": [TIME], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": [TIME_TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    ),
    ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ({"tools": [SEARCH_OF_CODEX], "tool_choice": "auto"}, {}),
    ({"tools": [SEARCH_OF_CODEX, TIME]}, {"tools": [TIME_TOOL]}),
    ({"tools": [PATCH]}, {"tools": [PATCH_TOOL]}),
    (
        {"tools": [{**PATCH, "format": GRAMMAR}]},
        {"tools": [{"type": "function", "function": {**PATCH_TOOL["function"], "description": GRAMMAR_SAID}}]},
    ),
    (
        {"tools": [AGENTS]},
        {
            "tools": [
                {"type": "function", "function": {**WEATHER_TOOL["function"], "name": "agents__weather"}},
                {"type": "function", "function": {**PATCH_TOOL["function"], "name": "agents__patch"}},
            ]
        },
    ),
    (
        {"tools": [WEATHER, TIME], "tool_choice": {"type": "function", "name": "time"}},
        {"tools": [TIME_TOOL], "tool_choice": "required"},
    ),
    (
        {"tools": [WEATHER, PATCH], "tool_choice": {"type": "custom", "name": "patch"}},
        {"tools": [PATCH_TOOL], "tool_choice": "required"},
    ),
    (
        {
            "tools": [WEATHER, TIME],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]},
        },
        {"tools": [TIME_TOOL], "tool_choice": "auto"},
    ),
]


@pytest.mark.parametrize(("sent", "asked"), FIELDS)
def test_fields_become_those_of_chat_completions(sent: dict[str, Any], asked: dict[str, Any]) -> None:
    assert chat(**sent) == asked


def part(**fields: Any) -> list[dict[str, Any]]:
    return [user([{"type": "input_text", "text": "a"}, fields])]


REFUSALS: list[tuple[dict[str, Any], str]] = [
    *(({name: True}, name) for name in REFUSED),
    ({"input": 5}, "input"),
    ({"input": []}, "input"),
    ({"input": ["Hi"]}, "input[0]"),
    ({"input": [HI, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ({"input": [{"id": "msg_1"}]}, "input[0]"),
    ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": part(type="input_file", file_id="a")}, "input[0].content[1].type"),
    ({"input": part(type="input_image", file_id="a")}, "input[0].content[1].file_id"),
    ({"input": part(type="input_image")}, "input[0].content[1].image_url"),
    ({"input": part(type="input_text")}, "input[0].content[1].text"),
    ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
    ({"input": [{**OUTPUT, "output": None}]}, "input[0].output"),
    ({"instructions": ["a"]}, "instructions"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": -2}, "max_output_tokens"),
    ({"max_output_tokens": True}, "max_output_tokens"),
    ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"n": 2}, "n"),
    ({"metadata": "a"}, "metadata"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [TIME, {"type": "file_search", "vector_store_ids": ["a"]}]}, "tools[1].type"),
    ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools[0].name"),
    ({"tools": [TIME, TIME]}, "tools[1].name"),
    ({"tools": [{**AGENTS, "tools": [{"type": "mcp"}]}]}, "tools[0].tools[0].type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "any", "tools": [TIME]}, "tool_choice"),
    ({"tool_choice": {"type": "web_search"}, "tools": [TIME]}, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "a"}, "tools": [TIME]}, "tool_choice.name"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "a"}]}, "tools": [TIME]},
        "tool_choice.tools[0].name",
    ),
]


@pytest.mark.parametrize(("sent", "field"), REFUSALS, ids=[row[1] for row in REFUSALS])
def test_what_cannot_be_done_is_refused_by_its_name(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read(**sent)
    assert refused.value.param == field
    assert f"`{field}`" in refused.value.message


DEEP: Any = orjson.loads(b"[" * 1000 + b"]" * 1000)


@pytest.mark.parametrize("field", ["metadata", "tools", "seed"])
def test_a_deep_body_is_refused(field: str) -> None:
    deep: Any = {"metadata": {"a": DEEP}, "tools": [{**TIME, "parameters": {"a": DEEP}}], "seed": DEEP}[field]
    with pytest.raises(InvalidRequestError):
        read(**{field: deep}).content()


NAMES = [
    *("type", "role", "content", "text", "id", "call_id", "name", "arguments", "output", "input", "tools", "format"),
    *("tool_choice", "mode", "reasoning", "effort", "summary", "encrypted_content", "include", "metadata", "namespace"),
    *("instructions", "parallel_tool_calls", "image_url", "file_id", "schema", "top_logprobs", "max_output_tokens"),
]
TEXTS = [
    *("", "message", "user", "assistant", "developer", "input_text", "output_text", "input_image", "reasoning"),
    *("function", "custom", "namespace", "function_call", "function_call_output", "custom_tool_call", "item_reference"),
    *("json_schema", "auto", "required", "allowed_tools", "low", "AAAA"),
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=40,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6))
@settings(max_examples=examples(300), deadline=None)
def test_any_body_is_a_chat_or_refused(body: dict[str, Any]) -> None:
    with suppress(InvalidRequestError):
        call = read_request({"model": "llama", **body})
        assert orjson.loads(call.content())["messages"]
        assert isinstance(orjson.loads(call.repeated), dict)
