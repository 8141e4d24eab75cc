"""Examples for the rows about messages and numbers that are none of OpenAI's API."""

from collections.abc import Mapping, Sequence

from berth_api.inference import CHAT_COMPLETIONS, CHAT_INPUT_TOKENS, COMPLETIONS
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM, Example, Kept, Refused

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = [
    {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
    USER,
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "4"},
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
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"messages": CALLED[:3]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": CALLED}),
    ],
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
