"""Examples for the rows about messages and numbers that are none of OpenAI's API."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS, CHAT_INPUT_TOKENS, COMPLETIONS
from berth_api.model_deployment import Backend
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM, Changed, Example, Kept, Refused

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = [
    {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
    USER,
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "4"},
]


def user(*parts: object) -> dict[str, Any]:
    return {"messages": [USER, {"role": "user", "content": list(parts)}]}


TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
DECLINED = {"type": "refusal", "refusal": "No."}


def parts(engine: Backend, *others: object) -> Sequence[Example]:
    """`others`: parts that the engine reads besides."""
    place = "messages[1].content[1]"
    return [
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"type": "file", "file": {}}), f"{place}.type", "got 'file'"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"type": ["text"], "text": "Hi"}), f"{place}.type"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"text": "Hi"}), f"{place}.type", "it is missing"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"type": "bogus", "text": "Hi"}), f"{place}.type"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"type": "text"}), f"{place}.text", "it is missing"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, {"type": "text", "text": 5}), f"{place}.text", "got '5'"),
        Refused(CHAT_COMPLETIONS, engine, user(TEXT, "Hi"), place, "must be an object"),
        Changed(CHAT_COMPLETIONS, engine, user(DECLINED, IMAGE), user({"type": "text", "text": "No."}, IMAGE)),
        Kept(CHAT_COMPLETIONS, engine, user(TEXT, IMAGE, {"type": "input_audio", "input_audio": {}})),
        Kept(CHAT_COMPLETIONS, engine, user(TEXT, *others)),
        Kept(CHAT_COMPLETIONS, VLLM, user({"type": "input_text", "text": "Hi"}, DECLINED, "Hi")),
    ]


def penalty(field: str) -> Sequence[Example]:
    return [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {field: 50}, field, "from -2 to 2; got '50'"),
        Refused(COMPLETIONS, VLLM, {field: "much"}, field),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {field: True}, field),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {field: -2}),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {field: 0.5}),
    ]


def number(field: str) -> Sequence[Example]:
    return [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {field: "x"}, field, "number; got 'x'"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {field: 1}),
    ]


TYPE_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "chat-messages": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": []}, "messages", "at least one message"),
        Refused(CHAT_COMPLETIONS, VLLM, {"messages": ["hi"]}, "messages[0]", "must be an object; got 'hi'"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": [USER, 3]}, "messages[1]"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": [{"content": "Hi"}]}, "messages[0].role", "it is missing"),
        Refused(
            CHAT_COMPLETIONS,
            TRANSFORMERS,
            {"messages": [{"role": "king", "content": "Hi"}]},
            "messages[0].role",
            "one of system, developer, user, assistant, tool, function; got 'king'",
        ),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": [{"role": [], "content": ""}]}, "messages[0].role"),
        Refused(
            CHAT_INPUT_TOKENS, LLAMACPP, {"messages": [USER, {"role": "user", "content": 5}]}, "messages[1].content"
        ),
        Refused(CHAT_COMPLETIONS, VLLM, {"messages": [USER, {"role": "user"}]}, "messages[1].content", "is missing"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"messages": [{"role": "system"}, USER]}, "messages[0].content"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"messages": [*CALLED[:4], {**CALLED[4], "content": None}]}),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"messages": CALLED[:3]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": CALLED}),
    ],
    "llamacpp-parts": parts(LLAMACPP, {"type": "video_url", "video_url": {"url": "x"}}),
    "transformers-parts": parts(TRANSFORMERS, {"type": "input_text", "text": "Hi"}),
    "type-of-logprobs": [Refused(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": "yes"}, "logprobs", "true or false")],
    "type-of-completion-logprobs": [
        Refused(COMPLETIONS, LLAMACPP, {"logprobs": "yes"}, "logprobs", "a whole number"),
        Kept(COMPLETIONS, VLLM, {"logprobs": 3}),
    ],
    "type-of-top_logprobs": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "0 to 20"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": True, "top_logprobs": 20}),
    ],
    "type-of-parallel_tool_calls": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ],
    "type-of-frequency_penalty": penalty("frequency_penalty"),
    "type-of-presence_penalty": penalty("presence_penalty"),
    **{f"type-of-{field}": number(field) for field in ("seed", "top_k", "min_p")},
    **{f"type-of-{field}": number(field) for field in ("repeat_penalty", "repetition_penalty")},
}
