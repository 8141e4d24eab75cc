"""Examples for the rows about fields of OpenAI's chats."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from berth_api.inference import CHAT_COMPLETIONS, TOKENIZE
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM, Answered, Changed, Example, Kept, Refused

TOOL = {"type": "function", "function": {"name": "look"}}


def called(arguments: object) -> dict[str, Any]:
    """A conversation in which the model has called the tool."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return {
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "nothing"},
        ],
    }


def mended(arguments: str) -> dict[str, Any]:
    return {"messages": called(arguments)["messages"]}


def with_logprobs(*best: dict[str, Any]) -> bytes:
    token = {"token": "a", "logprob": -0.5, "top_logprobs": list(best)}
    return orjson.dumps({"choices": [{"index": 0, "logprobs": {"content": [token]}}]})


CHAT_FIELD_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "chat-functions": [Refused(CHAT_COMPLETIONS, LLAMACPP, {"functions": [{"name": "f"}]}, "functions", "`tools`")],
    "chat-function-call": [
        Refused(CHAT_COMPLETIONS, VLLM, {"function_call": {"name": "f"}}, "function_call", "`tool_choice`")
    ],
    "chat-audio": [Refused(CHAT_COMPLETIONS, LLAMACPP, {"audio": {"voice": "alloy"}}, "audio")],
    "chat-modalities": [
        Refused(CHAT_COMPLETIONS, TRANSFORMERS, {"modalities": ["text", "audio"]}, "modalities"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"modalities": ["text"]}),
    ],
    "chat-web-search-options": [Refused(CHAT_COMPLETIONS, LLAMACPP, {"web_search_options": {}}, "web_search_options")],
    "chat-reasoning-effort": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"reasoning_effort": "bogus"}, "reasoning_effort", "medium"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"reasoning_effort": "none"}),
    ],
    "chat-chat-template-kwargs": [
        Refused(CHAT_COMPLETIONS, LLAMACPP, {"chat_template_kwargs": 5}, "chat_template_kwargs", "an object"),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
    "chat-logprobs": [
        Changed(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": True}, {"logprobs": True, "top_logprobs": 1}),
        Changed(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": True, "top_logprobs": 0}, {"top_logprobs": 1}),
        Kept(CHAT_COMPLETIONS, LLAMACPP, {"logprobs": True, "top_logprobs": 3}),
        Kept(CHAT_COMPLETIONS, VLLM, {"logprobs": True}),
        Answered(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {"logprobs": True},
            with_logprobs({"token": "a", "logprob": -0.5}),
            with_logprobs(),
            streams=False,
        ),
    ],
    "broken-calls": [
        Changed(CHAT_COMPLETIONS, LLAMACPP, called(""), mended("{}")),
        Changed(CHAT_COMPLETIONS, VLLM, called('{"city": "Par'), mended('{"not_whole":"{\\"city\\": \\"Par"}')),
        Changed(CHAT_COMPLETIONS, LLAMACPP, called('{"city": "Paris"}'), mended('{"city": "Paris"}')),
    ],
    "tokens-of-messages": [
        Refused(TOKENIZE, LLAMACPP, {"messages": [{"role": "user", "content": "Hi"}]}, "messages", "input_tokens"),
        Kept(TOKENIZE, VLLM, {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
}
