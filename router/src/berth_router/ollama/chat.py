"""POST /api/chat → POST /v1/chat/completions."""

from collections.abc import Sequence
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS
from berth_router.engine_answers.json_values import as_object
from berth_router.ollama.calls import Call, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.errors import wrong_field
from berth_router.ollama.keep_alive import keep_alive_of
from berth_router.ollama.media import media_part
from berth_router.ollama.requests import ChatBody, OllamaMessage, OllamaOptions, read, target_of
from berth_router.ollama.sampling import (
    chat_format_fields,
    logprobs_fields,
    sampling_fields,
    streaming_fields,
    thinking_fields,
)
from berth_router.ollama.tool_calls import call_fields, call_ids

_ROLES = ("system", "user", "assistant", "tool")


def chat_call(body: object) -> Call:
    """What a chat asks of Berth: an answer, or with no messages that the model is loaded or unloaded.

    `body`: parsed JSON. Raises OllamaError.
    """
    fields = read(ChatBody, body)
    keep_alive = keep_alive_of(fields.keep_alive)
    target = target_of(fields, body, keep_alive)
    if not fields.messages:
        return UnloadCall(target) if keep_alive.unload else LoadCall(target)
    streams = fields.stream is not False
    chat = {
        "messages": _messages(fields.messages),
        **_tool_fields(fields.tools or []),
        **sampling_fields(fields.options or OllamaOptions()),
        **chat_format_fields(fields.format),
        **thinking_fields(fields.think),
        **logprobs_fields(fields),
        **streaming_fields(streams),
    }
    return InferenceCall(target, CHAT_COMPLETIONS, target.fields | chat, streams, keep_alive.unload, bool(fields.think))


def user_message(text: str, images: Sequence[str], field: str) -> dict[str, Any]:
    """A message of the user. `field`: the name of the list of images. Raises OllamaError."""
    return {"role": "user", "content": _content(text, images, field)}


def _messages(messages: Sequence[OllamaMessage]) -> list[dict[str, Any]]:
    lowered = [message.model_copy(update={"role": message.role.lower()}) for message in messages]
    return [
        _message(message, ids, f"messages[{at}]")
        for at, (message, ids) in enumerate(zip(lowered, call_ids(lowered), strict=True))
    ]


def _message(message: OllamaMessage, ids: Sequence[str], field: str) -> dict[str, Any]:
    if message.role not in _ROLES:
        raise wrong_field(f"{field}.role", f"must be one of {', '.join(_ROLES)}")
    content = _content(message.content or "", message.images or (), f"{field}.images")
    as_sent: dict[str, Any] = {"role": message.role, "content": content}
    if message.thinking:
        as_sent["reasoning_content"] = message.thinking
    if message.role == "tool":
        as_sent["tool_call_id"] = ids[0]
        if message.tool_name or message.name:
            as_sent["name"] = message.tool_name or message.name
    elif message.tool_calls:
        as_sent["tool_calls"] = call_fields(message.tool_calls, ids, f"{field}.tool_calls")
    return as_sent


def _content(text: str, images: Sequence[str], field: str) -> str | list[dict[str, Any]]:
    """A text, or the parts of a message: the text, unless it is empty, and the images."""
    if not images:
        return text
    parts = [{"type": "text", "text": text}] if text else []
    return parts + [media_part(image, f"{field}[{at}]") for at, image in enumerate(images)]


def _tool_fields(tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The tools that the model may call. Some clients leave off their type, of which there is one."""
    for at, tool in enumerate(tools):
        if not isinstance(as_object(tool.get("function")).get("name"), str):
            raise wrong_field(f"tools[{at}].function", "must be an object with a `name`")
    return {"tools": [{"type": "function", **tool} for tool in tools]} if tools else {}
