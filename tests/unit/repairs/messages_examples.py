"""Examples for the rows about Anthropic's messages: the real bytes of llama-server of llama-cpp-python 0.3.36."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_api.inference import MESSAGES, MESSAGES_COUNT_TOKENS
from tests.unit.repairs.example import LLAMACPP, VLLM, Answered, Changed, Example, Kept, Refused

TOOLS = {"tools": [{"name": "add", "input_schema": {"type": "object"}}]}
STOPS = {"stop_sequences": ["!"]}
TEXT = {"type": "text", "text": "Say hi"}


def user(*blocks: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def said(text: str, *others: object) -> dict[str, Any]:
    return user({"type": "text", "text": text}, *others)


def document(**fields: object) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "4711"}, **fields}


def refused(param: str, *blocks: object, says: str = "") -> Refused:
    return Refused(MESSAGES, LLAMACPP, user(*blocks), param, says)


def result(*blocks: object) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "1", "content": list(blocks)}


WRITTEN = "<document>\n<title>Codes</title>\n<context>of doors</context>\n<content>\n4711\n</content>\n</document>\n"
BARE = "<document>\n<content>\n4711\n</content>\n</document>\n"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
FOUND = {
    "type": "search_result",
    "source": "http://x/",
    "title": "Codes",
    "content": [{"type": "text", "text": "4711"}],
}
FOUND_WRITTEN = (
    "<search_result>\n<source>http://x/</source>\n<title>Codes</title>\n<content>\n4711\n</content>\n</search_result>\n"
)

WHOLE = (
    b'{"id":"chatcmpl-tKpPoOaOcaYgO3GjJk4P8LPwtNwMGFKf","type":"message","role":"assistant","content":[{"type":"text",'
    b'"text":"I\'m glad you\'re here"}],"model":"tiny","stop_reason":"end_turn","stop_sequence":"!","usage":'
    b'{"cache_read_input_tokens":33,"input_tokens":1,"output_tokens":7}}'
)
END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":"!"},'
    b'"usage":{"output_tokens":7}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
BEGIN = b'event: message_start\ndata: {"type":"message_start","message":{"role":"assistant"}}\n\n'


ONE = {**TOOLS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}


def called(index: int) -> bytes:
    """A block of a stream that calls a tool."""
    begin = b'{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":"%d"}}' % (index, index)
    part = b'{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":"{}"}}' % index
    events = (
        (b"content_block_start", begin),
        (b"content_block_delta", part),
        (b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % index),
    )
    return b"".join(b"event: %b\ndata: %b\n\n" % event for event in events)


def stopped(answer: bytes) -> bytes:
    return answer.replace(b'"end_turn"', b'"stop_sequence"')


MESSAGES_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "document-blocks": [
        Changed(MESSAGES, LLAMACPP, user(document(title="Codes", context="of doors"), TEXT), said(WRITTEN, TEXT)),
        Changed(MESSAGES_COUNT_TOKENS, LLAMACPP, user(document(title=None)), said(BARE)),
        Changed(
            MESSAGES,
            VLLM,
            user(document(source={"type": "content", "content": [IMAGE]})),
            said("<document>\n<content>\n", IMAGE, {"type": "text", "text": "\n</content>\n</document>\n"}),
        ),
        Changed(MESSAGES, VLLM, user(document(source={"type": "content", "content": "4711"})), said(BARE)),
        Changed(MESSAGES, VLLM, user(result(document(), TEXT)), user(result({"type": "text", "text": BARE}, TEXT))),
        Changed(MESSAGES, LLAMACPP, user(FOUND), said(FOUND_WRITTEN)),
        refused("messages[0].content[0].source.type", document(source={"type": "base64", "data": "JVBE"}), says="PDF"),
        refused("messages[0].content[0].source.type", document(source=3)),
        refused("messages[0].content[0].source.data", document(source={"type": "text"})),
        refused("messages[0].content[1].citations", TEXT, document(citations={"enabled": True})),
        refused("messages[0].content[0].title", document(title=3)),
        refused("messages[0].content[0].content[0].source.type", result(document(source={"type": "file"}))),
        refused(
            "messages[0].content[0].source.content[0].type",
            document(source={"type": "content", "content": [{"type": "document"}]}),
        ),
        refused("messages[0].content[0].content[0].text", {**FOUND, "content": [{"type": "text"}]}),
    ],
    "content-blocks": [
        refused("messages[0].content[1].type", TEXT, {"type": "bogus"}, says="tool_result; got 'bogus'"),
        refused("messages[0].content[0].type", {"text": "Hi"}, says="it is missing"),
        refused("messages[0].content[0].type", {"type": ["text"]}),
        refused("messages[0].content[0]", "Hi"),
        refused("messages[0].content[0].content[0].type", result({"type": "bogus"})),
        refused("messages[0].content[0].content", {"type": "tool_result", "content": 3}),
        refused("messages[0].content[0].source.type", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
        refused("messages[0].content"),
        Refused(MESSAGES, VLLM, {"messages": [{"role": "user"}]}, "messages[0].content"),
        Refused(MESSAGES_COUNT_TOKENS, VLLM, {"messages": [3]}, "messages[0]"),
        Kept(MESSAGES, LLAMACPP, user(TEXT, IMAGE, result(IMAGE))),
        Kept(MESSAGES, LLAMACPP, user({"type": "tool_result", "tool_use_id": "1"}, TEXT)),
        Kept(MESSAGES, VLLM, user(TEXT, {"type": "tool_addition", "tool": {}})),
    ],
    "tool-search-blocks": [
        refused("messages[0].content[0].content[0].type", result({"type": "tool_reference", "tool_name": "add"})),
        Refused(MESSAGES, LLAMACPP, user(TEXT, {"type": "tool_removal"}), "messages[0].content[1].type"),
    ],
    "system-blocks": [
        Refused(MESSAGES, LLAMACPP, {"system": 5}, "system"),
        Refused(MESSAGES, LLAMACPP, {"system": [TEXT, IMAGE]}, "system[1].type"),
        Refused(MESSAGES_COUNT_TOKENS, VLLM, {"system": [{"type": "text"}]}, "system[0].text"),
        Refused(MESSAGES, LLAMACPP, {"system": ["Hi"]}, "system[0].type"),
        Kept(MESSAGES, LLAMACPP, {"system": [TEXT, {**TEXT, "cache_control": {"type": "ephemeral"}}]}),
        Kept(MESSAGES, LLAMACPP, {"system": "Be short."}),
    ],
    "wrong-thinking": [
        Refused(MESSAGES, LLAMACPP, {"thinking": {"type": "bogus"}}, "thinking.type", "got 'bogus'"),
        Refused(MESSAGES, VLLM, {"thinking": {"type": []}}, "thinking.type"),
        Refused(MESSAGES, LLAMACPP, {"thinking": True}, "thinking", "got 'True'"),
        Refused(MESSAGES, LLAMACPP, {"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "it is missing"),
        Refused(MESSAGES, LLAMACPP, {"thinking": {"type": "enabled", "budget_tokens": "9"}}, "thinking.budget_tokens"),
        Kept(MESSAGES, VLLM, {"thinking": {"type": "adaptive", "display": "omitted"}}),
    ],
    "thinking": [
        Changed(
            MESSAGES,
            LLAMACPP,
            {"thinking": {"type": "disabled"}},
            {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
        ),
        Changed(
            MESSAGES_COUNT_TOKENS,
            LLAMACPP,
            {"thinking": {"type": "adaptive"}, "chat_template_kwargs": {"enable_thinking": False}},
            {"chat_template_kwargs": {"enable_thinking": False, "thinking": True}},
        ),
        Changed(
            MESSAGES,
            LLAMACPP,
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "chat_template_kwargs": {"enable_thinking": True, "thinking": True},
            },
        ),
        Kept(MESSAGES, VLLM, {"thinking": {"type": "disabled"}, "chat_template_kwargs": {"x": 1}}),
    ],
    "anthropic-tool-choice": [
        Refused(MESSAGES, LLAMACPP, {**TOOLS, "tool_choice": "auto"}, "tool_choice", "got 'auto'"),
        Refused(MESSAGES, VLLM, {**TOOLS, "tool_choice": {"type": "bogus"}}, "tool_choice.type", "got 'bogus'"),
        Refused(MESSAGES, LLAMACPP, {"tool_choice": {}}, "tool_choice.type", "it is missing"),
    ],
    "anthropic-no-tool-wanted": [
        Changed(MESSAGES, LLAMACPP, {**TOOLS, "tool_choice": {"type": "none"}}, {"tools": None, "tool_choice": None}),
        Kept(MESSAGES, VLLM, {**TOOLS, "tool_choice": {"type": "none"}}),
        Kept(MESSAGES, LLAMACPP, {**TOOLS, "tool_choice": {"type": "auto"}}),
    ],
    "anthropic-one-call": [
        Answered(
            MESSAGES,
            LLAMACPP,
            ONE,
            b'{"content":[{"type":"text","text":"a"},{"type":"tool_use","id":"1"},{"type":"tool_use","id":"2"}]}',
            b'{"content":[{"type":"text","text":"a"},{"type":"tool_use","id":"1"}]}',
            streams=False,
        ),
        Answered(MESSAGES, LLAMACPP, ONE, BEGIN + called(1) + called(2) + END, BEGIN + called(1) + END),
        Kept(MESSAGES, LLAMACPP, {**TOOLS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}),
    ],
    "wrong-stop-sequences": [
        Refused(MESSAGES, LLAMACPP, {"stop_sequences": "x"}, "stop_sequences", "got 'x'"),
        Refused(MESSAGES, VLLM, {"stop_sequences": ["x", 3]}, "stop_sequences"),
    ],
    "stop-sequence": [
        Answered(MESSAGES, LLAMACPP, STOPS, WHOLE, stopped(WHOLE), streams=False),
        Answered(
            MESSAGES,
            LLAMACPP,
            STOPS,
            b'{"stop_reason":"tool_use","stop_sequence":"!"}',
            b'{"stop_reason":"tool_use","stop_sequence":null}',
            streams=False,
        ),
        Answered(MESSAGES, LLAMACPP, STOPS, BEGIN + END, BEGIN + stopped(END)),
        Answered(
            MESSAGES,
            LLAMACPP,
            STOPS,
            b'{"stop_reason":"end_turn","stop_sequence":null}',
            b'{"stop_reason":"end_turn","stop_sequence":null}',
            streams=False,
        ),
    ],
    "no-mcp_servers": [
        Refused(MESSAGES, LLAMACPP, {"mcp_servers": [{"type": "url", "url": "http://x", "name": "x"}]}, "mcp_servers"),
        Kept(MESSAGES, LLAMACPP, {"mcp_servers": []}),
    ],
    "no-container": [
        Refused(MESSAGES, VLLM, {"container": "container_1"}, "container", "runs code"),
        Kept(MESSAGES, LLAMACPP, {"container": None}),
    ],
}
