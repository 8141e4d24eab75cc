"""At least one example for each row of the table: what a user of the row notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, MESSAGES
from berth_api.model_deployment import Backend

LLAMACPP, VLLM, TRANSFORMERS = Backend.LLAMACPP, Backend.VLLM, Backend.TRANSFORMERS
USER = {"role": "user", "content": "Hi"}


@dataclass(frozen=True)
class Changed:
    """A request, and the body that the engine gets: only what differs, None where a field is taken off."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    got: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A request, and the field that the 400 names."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    param: str
    says: str = ""


@dataclass(frozen=True)
class Kept:
    """A request that looks like one that the row is for, and is not: it stays as it is."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """What an engine sends, and what the client gets."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    answer: bytes
    got: bytes
    streams: bool = True


Example = Changed | Refused | Kept | Answered


def chat(engine: Backend, sent: Mapping[str, Any], got: Mapping[str, Any]) -> Changed:
    return Changed(CHAT_COMPLETIONS, engine, {"messages": [USER], **sent}, got)


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def anthropic_tool(name: str) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object"}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]}}


TWO_TOOLS = {"tools": [tool("add"), tool("look")]}
TWO_ANTHROPIC_TOOLS = {"tools": [anthropic_tool("add"), anthropic_tool("look")]}


def token(text: str, logprob: float, **best: float) -> dict[str, Any]:
    return {
        "id": 1,
        "token": text,
        "bytes": [1],
        "logprob": logprob,
        "top_logprobs": [{"id": 2, "token": other, "bytes": [1], "logprob": value} for other, value in best.items()],
    }


def texts(*choices: dict[str, Any], **fields: Any) -> bytes:
    return orjson.dumps({"choices": list(choices), **fields})


def events(*contents: bytes) -> bytes:
    return b"".join([b"data: " + content + b"\n\n" for content in contents]) + b"data: [DONE]\n\n"


EXAMPLES: Mapping[str, Sequence[Example]] = {
    "nulls": [
        chat(LLAMACPP, {"messages": [{**USER, "name": None}], "stop": None}, {"messages": [USER], "stop": None}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [{"role": "user", "content": "what is null?"}]}),
    ],
    "chat-tools": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": {}}, "tools"),
        Refused(CHAT_COMPLETIONS, VLLM, {"tools": [3]}, "tools[0]"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [tool("f"), {}]}, "tools[1].type", "it is missing"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [{"type": "web_search"}]}, "tools[0].type", "web_search"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [{"type": "function"}]}, "tools[0].function"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"tools": [tool("")]}, "tools[0].function.name"),
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
        *(Kept(CHAT_COMPLETIONS, LLAMACPP, {**TWO_TOOLS, "tool_choice": one}) for one in ("auto", "none", "required")),
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
        Kept(CHAT_COMPLETIONS, VLLM, {**TWO_TOOLS, "tool_choice": named("look")}),
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
            {"tools": [tool("look"), tool("add")], "tool_choice": "required"},
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
    "forced-tool-ignored": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": "required"}, "tool_choice"),
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": named("add")}, "tool_choice"),
        Refused(
            CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": allowed("required", "add")}, "tool_choice"
        ),
        Kept(CHAT_COMPLETIONS, TRANSFORMERS, {**TWO_TOOLS, "tool_choice": "auto"}),
    ],
    "named-tool": [
        chat(
            LLAMACPP, {**TWO_TOOLS, "tool_choice": named("look")}, {"tools": [tool("look")], "tool_choice": "required"}
        )
    ],
    "anthropic-named-tool-missing": [
        Refused(
            MESSAGES,
            VLLM,
            {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "sub"}},
            "tool_choice.name",
            "'sub'",
        ),
        Refused(MESSAGES, VLLM, {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        Kept(MESSAGES, VLLM, {**TWO_ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "look"}}),
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
    "best-of": [
        Refused(COMPLETIONS, VLLM, {"best_of": 3}, "best_of"),
        Refused(COMPLETIONS, LLAMACPP, {"best_of": 3, "n": 2}, "best_of"),
        Changed(COMPLETIONS, TRANSFORMERS, {"best_of": 1}, {"best_of": None}),
        Changed(COMPLETIONS, VLLM, {"best_of": 2, "n": 2}, {"best_of": None, "n": 2}),
    ],
    "suffix": [
        Refused(COMPLETIONS, TRANSFORMERS, {"suffix": "end"}, "suffix"),
        Kept(COMPLETIONS, LLAMACPP, {"suffix": ""}),
    ],
    "echo": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": ["One", "Two"], "echo": True, "n": 2},
            texts(*({"index": index, "text": f" {index}"} for index in range(4)), id="1"),
            texts(
                {"index": 0, "text": "One 0"},
                {"index": 1, "text": "One 1"},
                {"index": 2, "text": "Two 2"},
                {"index": 3, "text": "Two 3"},
                id="1",
            ),
            streams=False,
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": "Once", "echo": True},
            events(texts({"index": 0, "text": " upon"}), texts({"index": 0, "text": " a"}), b'{"error":{}}'),
            events(texts({"index": 0, "text": "Once upon"}), texts({"index": 0, "text": " a"}), b'{"error":{}}'),
        ),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "echo": True}, "echo", "prompt"),
        Kept(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "echo": False}),
    ],
    "logprobs": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"logprobs": 1},
            texts({"index": 0, "text": "Hé!", "logprobs": {"content": [token("Hé", -1.5, A=-0.5), token("!", -0.1)]}}),
            texts(
                {
                    "index": 0,
                    "text": "Hé!",
                    "logprobs": {
                        "tokens": ["Hé", "!"],
                        "token_logprobs": [-1.5, -0.1],
                        "top_logprobs": [{"A": -0.5, "Hé": -1.5}, {"!": -0.1}],
                        "text_offset": [0, 2],
                    },
                }
            ),
            streams=False,
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"logprobs": 0},
            events(
                texts({"index": 0, "text": "Hé", "logprobs": {"content": [token("Hé", -1.5, A=-0.5)]}}),
                texts({"index": 1, "text": "?", "logprobs": {"content": [token("?", -0.2)]}}),
                texts({"index": 0, "text": "!", "logprobs": {"content": [token("!", -0.1)]}}),
                texts({"index": 0, "text": "", "logprobs": None}),
            ),
            events(
                *(
                    texts(
                        {
                            "index": index,
                            "text": text,
                            "logprobs": {
                                "tokens": [text],
                                "token_logprobs": [logprob],
                                "top_logprobs": [{text: logprob}],
                                "text_offset": [offset],
                            },
                        }
                    )
                    for index, text, logprob, offset in ((0, "Hé", -1.5, 0), (1, "?", -0.2, 0), (0, "!", -0.1, 2))
                ),
                texts({"index": 0, "text": "", "logprobs": None}),
            ),
        ),
        Changed(COMPLETIONS, LLAMACPP, {"logprobs": 0}, {"logprobs": 1}),
        Changed(COMPLETIONS, LLAMACPP, {"logprobs": 5}, {"logprobs": 5}),
        Kept(COMPLETIONS, VLLM, {"logprobs": 0}),
    ],
    "echo-logprobs": [
        Changed(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [[7, 8, 9]], "echo": True, "logprobs": 2, "max_tokens": 1},
            {
                "prompt": [7],
                "grammar": "root ::= <[8]> <[9]> (!<[2147483647]>)*",
                "max_tokens": 3,
                "logprobs": 2,
            },
        ),
        Changed(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [7], "echo": True, "logprobs": 0, "max_tokens": 4},
            {"prompt": [7], "grammar": None, "max_tokens": 4, "logprobs": 1},
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [7, 8], "echo": True, "logprobs": 1, "max_tokens": 1},
            texts(
                {
                    "index": 0,
                    "text": " b c",
                    "logprobs": {"content": [token(" b", -3.5, x=-0.5), token(" c", -0.1)]},
                },
                usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            ),
            texts(
                {
                    "index": 0,
                    "text": " b c",
                    "logprobs": {
                        "tokens": ["", " b", " c"],
                        "token_logprobs": [None, -3.5, -0.1],
                        "top_logprobs": [None, {"x": -0.5, " b": -3.5}, {" c": -0.1}],
                        "text_offset": [0, 0, 2],
                    },
                },
                usage={"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
            ),
            streams=False,
        ),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": "text", "echo": True, "logprobs": 1}, "echo", "/tokenize"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [[1], [2]], "echo": True, "logprobs": 1}, "echo"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "stop": "x"}, "stop"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "stream": True}, "stream"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "n": 2}, "n"),
        Kept(COMPLETIONS, VLLM, {"prompt": [1, 2], "echo": True, "logprobs": 1}),
    ],
    "several-completions": [
        Changed(COMPLETIONS, LLAMACPP, {"prompt": "a", "n": 3}, {"prompt": ["a", "a", "a"], "n": None}),
        Changed(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "n": 2}, {"prompt": [[1, 2], [1, 2]], "n": None}),
        Changed(COMPLETIONS, LLAMACPP, {"prompt": ["a", "b"], "n": 2}, {"prompt": ["a", "a", "b", "b"], "n": None}),
        Refused(COMPLETIONS, LLAMACPP, {"n": 9}, "n", "at most 8"),
        Kept(COMPLETIONS, LLAMACPP, {"n": 2, "seed": 5}),
        Kept(COMPLETIONS, LLAMACPP, {"n": 1}),
        Kept(COMPLETIONS, VLLM, {"n": 9}),
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
