"""At least one example for each row of the table: what a user of the row notices."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, MESSAGES
from berth_api.model_deployment import Backend
from berth_formats.abilities import Abilities
from tests.unit.repairs.chat_field_examples import CHAT_FIELD_EXAMPLES
from tests.unit.repairs.completion_examples import COMPLETION_EXAMPLES
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM, Answered, Changed, Example, Kept, Refused
from tests.unit.repairs.forced_tool_examples import FORCED_TOOL_EXAMPLES
from tests.unit.repairs.messages_examples import MESSAGES_EXAMPLES
from tests.unit.repairs.path_examples import PATH_EXAMPLES
from tests.unit.repairs.structured_examples import STRUCTURED_EXAMPLES
from tests.unit.repairs.type_examples import TYPE_EXAMPLES

USER = {"role": "user", "content": "Hi"}


def chat(engine: Backend, sent: Mapping[str, Any], got: Mapping[str, Any]) -> Changed:
    return Changed(CHAT_COMPLETIONS, engine, {"messages": [USER], **sent}, got)


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def strict(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {**tool(name)["function"], "strict": True}}


def anthropic_tool(name: str) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object"}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]}}


ANY = {"type": "any"}
TALKS = Abilities("chat")
TWO_TOOLS = {"tools": [tool("add"), tool("look")]}
STRICT_TOOL = {"tools": [strict("look")]}
TWO_ANTHROPIC_TOOLS = {"tools": [anthropic_tool("add"), anthropic_tool("look")]}


EXAMPLES: Mapping[str, Sequence[Example]] = {
    **CHAT_FIELD_EXAMPLES,
    **COMPLETION_EXAMPLES,
    **TYPE_EXAMPLES,
    **MESSAGES_EXAMPLES,
    **PATH_EXAMPLES,
    **STRUCTURED_EXAMPLES,
    "nulls": [
        chat(LLAMACPP, {"messages": [{**USER, "name": None, "tool_calls": None}]}, {"messages": [USER]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [{"role": "user", "content": "what is null?"}], "stop": None}),
    ],
    "chat-tools": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": {}}, "tools"),
        Refused(CHAT_COMPLETIONS, VLLM, {"tools": [3]}, "tools[0]"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [tool("f"), {}]}, "tools[1].type", "it is missing"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [{"type": "web_search"}]}, "tools[0].type", "web_search"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [{"type": "function"}]}, "tools[0].function"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [tool("")]}, "tools[0].function.name"),
        Refused(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        Kept(CHAT_COMPLETIONS, LLAMACPP, TWO_TOOLS),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"tools": []}),
    ],
    "anthropic-tools": [
        Refused(MESSAGES, LLAMACPP, {"tools": [{"type": "web_search_20250305", "name": "web"}]}, "tools[0].type"),
        Refused(MESSAGES, LLAMACPP, {"tools": [{"input_schema": {}}]}, "tools[0].name"),
        Refused(MESSAGES, LLAMACPP, {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        Kept(MESSAGES, LLAMACPP, {"tools": [{"type": "custom", **anthropic_tool("f")}, anthropic_tool("g")]}),
    ],
    "tool-choice": [
        Refused(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": "always"}, "tool_choice", "always"),
        Refused(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": {"name": "f"}}, "tool_choice"),
        *(Kept(CHAT_COMPLETIONS, LLAMACPP, {**TWO_TOOLS, "tool_choice": one}) for one in ("auto", "none")),
        Kept(CHAT_COMPLETIONS, VLLM, {**STRICT_TOOL, "tool_choice": "required"}),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"tool_choice": "auto"}),
    ],
    "choice-without-tools": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tool_choice": "required"}, "tool_choice", "`tools` has none"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [], "tool_choice": named("f")}, "tool_choice"),
        Refused(MESSAGES, LLAMACPP, {"tool_choice": {"type": "any"}}, "tool_choice"),
        Kept(MESSAGES, LLAMACPP, {"tool_choice": {"type": "auto"}}),
    ],
    "named-tool-missing": [
        Refused(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": named("sub")}, "tool_choice", "'sub'"),
        Refused(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.function"),
        Kept(CHAT_COMPLETIONS, VLLM, {"tools": [strict("look")], "tool_choice": named("look")}),
    ],
    "allowed-tools": [
        chat(
            LLAMACPP,
            {**TWO_TOOLS, "tool_choice": allowed("auto", "look")},
            {"tools": [tool("look")], "tool_choice": "auto"},
        ),
        chat(
            VLLM,
            {**TWO_TOOLS, "tool_choice": allowed("required", "look", "add", "look")},
            {"tools": [strict("look"), strict("add")], "tool_choice": "required"},
        ),
        Refused(
            CHAT_COMPLETIONS,
            VLLM,
            {**TWO_TOOLS, "tool_choice": allowed("auto", "sub")},
            "tool_choice.allowed_tools.tools",
            "'sub'",
        ),
        Refused(
            CHAT_COMPLETIONS,
            VLLM,
            {**TWO_TOOLS, "tool_choice": allowed("any", "add")},
            "tool_choice.allowed_tools.mode",
        ),
        Refused(
            CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": allowed("auto")}, "tool_choice.allowed_tools.tools"
        ),
        Refused(
            CHAT_COMPLETIONS,
            VLLM,
            {**TWO_TOOLS, "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
        ),
    ],
    "no-tools": [
        Refused(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": "required"}, "tool_choice", "template", TALKS),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {**TWO_TOOLS, "tool_choice": named("add")}, "tool_choice", "", TALKS),
        Refused(MESSAGES, LLAMACPP, {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}}, "tool_choice", "", TALKS),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {**TWO_TOOLS, "tool_choice": "auto"}, TALKS),
        Kept(CHAT_COMPLETIONS, VLLM, {**STRICT_TOOL, "tool_choice": "required"}, Abilities("chat", tools=True)),
        Kept(CHAT_COMPLETIONS, VLLM, {**STRICT_TOOL, "tool_choice": "required"}),
    ],
    "type-of-stop": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"stop": 3}, "stop"),
        Kept(COMPLETIONS, LLAMACPP, {"stop": ["x"]}),
    ],
    "type-of-logit_bias": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"logit_bias": "5"}, "logit_bias"),
        Kept(COMPLETIONS, LLAMACPP, {"logit_bias": {"5": 1}}),
    ],
    "type-of-response_format": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"response_format": True}, "response_format"),
    ],
    "number-of-answers": [
        *(Refused(COMPLETIONS, LLAMACPP, {"n": wrong, "echo": True}, "n") for wrong in ("2", 1.5, True, 0, -1, [1])),
        Kept(CHAT_COMPLETIONS, VLLM, {"n": 2}),
    ],
    "no-schema": [
        Refused(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema",
        ),
        Kept(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        ),
    ],
    "forced-tool-ignored": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": "required"}, "tool_choice"),
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": named("add")}, "tool_choice"),
        Refused(
            CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": allowed("required", "add")}, "tool_choice"
        ),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": "auto"}),
    ],
    "strict-tools": [
        chat(VLLM, {"tools": [tool("add")], "tool_choice": "required"}, {"tools": [strict("add")]}),
        chat(VLLM, {**TWO_TOOLS, "tool_choice": named("add")}, {"tools": [strict("add"), strict("look")]}),
        Changed(
            MESSAGES,
            VLLM,
            {"tools": [{**anthropic_tool("add"), "strict": False}, anthropic_tool("look")], "tool_choice": ANY},
            {"tools": [{**anthropic_tool("add"), "strict": False}, {**anthropic_tool("look"), "strict": True}]},
        ),
        Kept(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": "auto"}),
    ],
    "no-tool-wanted": [
        chat(TRANSFORMERS, {**TWO_TOOLS, "tool_choice": "none"}, {"tools": None}),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {**TWO_TOOLS, "tool_choice": "none"}),
    ],
    "named-tool": [chat(LLAMACPP, {**TWO_TOOLS, "tool_choice": named("look")}, {"tools": [tool("look")]})],
    "forced-tool": FORCED_TOOL_EXAMPLES,
    "anthropic-named-tool-missing": [
        Refused(
            MESSAGES,
            VLLM,
            {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "sub"}},
            "tool_choice.name",
            "'sub'",
        ),
        Refused(MESSAGES, VLLM, {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        Kept(
            MESSAGES,
            VLLM,
            {"tools": [{**anthropic_tool("look"), "strict": True}], "tool_choice": {"type": "tool", "name": "look"}},
        ),
    ],
    "anthropic-named-tool": [
        Changed(
            MESSAGES,
            LLAMACPP,
            {
                **TWO_ANTHROPIC_TOOLS,
                "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
            },
            {"tools": [anthropic_tool("look")], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        )
    ],
    "transformers-n": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {"n": 2}, "n"),
        Refused(COMPLETIONS, TRANSFORMERS, {"n": 2}, "n"),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"n": 1}),
        Kept(CHAT_COMPLETIONS, VLLM, {"n": 2}),
    ],
    "transformers-logprobs": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {"logprobs": True}, "logprobs"),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"logprobs": False}),
    ],
    "transformers-completion-logprobs": [Refused(COMPLETIONS, TRANSFORMERS, {"logprobs": 0}, "logprobs")],
    "transformers-format": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {"response_format": {"type": "json_object"}}, "response_format"),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"response_format": {"type": "text"}}),
        Kept(CHAT_COMPLETIONS, VLLM, {"response_format": {"type": "json_object"}}),
    ],
    "transformers-presence": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {"presence_penalty": 0.5}, "presence_penalty"),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"presence_penalty": 0.0}),
    ],
    "transformers-echo": [
        Refused(COMPLETIONS, TRANSFORMERS, {"echo": True}, "echo"),
        Kept(COMPLETIONS, TRANSFORMERS, {"echo": False}),
    ],
    "role-chunk": [
        Answered(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {},
            b': comment\n\ndata: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x8c\x9f"},"finish_reason":null}],'
            b'"id":"1","timings":{}}\n\ndata: {"more":1}\n\n',
            b': comment\n\ndata: {"choices":[{"index":0,"delta":{"role":"assistant","content":null},'
            b'"finish_reason":null}],"id":"1"}\n\n'
            b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x8c\x9f"},"finish_reason":null}],'
            b'"id":"1","timings":{}}\n\ndata: {"more":1}\n\n',
        ),
        *(
            Answered(CHAT_COMPLETIONS, LLAMACPP, {}, unchanged, unchanged)
            for unchanged in (
                b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\ndata: [DONE]\n\n',
                b'data: {"error":{"message":"no"}}\n\n',
                b"data: [DONE]\n\n",
                b"data: {half",
                b"data: 5\n\n",
                b"",
            )
        ),
    ],
    "message-start": [
        Answered(
            MESSAGES,
            LLAMACPP,
            {},
            b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n',
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_req_1","type":"message",'
            b'"role":"assistant","content":[],"model":"tiny","stop_reason":null,"stop_sequence":null,'
            b'"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
            b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n',
        ),
        *(
            Answered(MESSAGES, LLAMACPP, {}, unchanged, unchanged)
            for unchanged in (
                b"event: message_start\ndata: {}\n\nevent: message_stop\ndata: {}\n\n",
                b'event: error\ndata: {"type":"error"}\n\n',
            )
        ),
    ],
}
"""By the row's name."""
