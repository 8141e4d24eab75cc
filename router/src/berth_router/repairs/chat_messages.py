"""The rows about what is no message of OpenAI's chats.

Engines say it in the words of their JSON readers, leave it out, or hand a role that nothing knows to the model's
template.
"""

from types import NoneType
from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS, CHAT_INPUT_TOKENS, ENGINE_PATHS
from berth_api.model_deployment import Backend
from berth_router.errors import wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_KNOWN_ROLES = frozenset(_ROLES)

_USUAL_PARTS = frozenset({("text", str), ("image_url", NoneType), ("input_audio", NoneType)})
"""The types of parts that every engine reads, each with the type of its text."""

_LLAMACPP_READS = ("text", "image_url", "input_audio", "video_url", "input_video")
_TRANSFORMERS_READS = (
    *("text", "image_url", "input_audio", "video_url", "audio_url"),
    *("input_text", "output_text", "input_image"),
)


def _has_odd_message(body: JsonFields) -> bool:
    """Whether a row may be for a message. Agents send hundreds of messages, and they are right."""
    messages = body["messages"]
    try:
        for message in messages:
            if message["role"] not in _KNOWN_ROLES:
                return True
            if type(message.get("content")) is str:
                continue
            content = message.get("content")
            if content is None:
                if message["role"] != "assistant" and _lacks_content(message):
                    return True
                continue
            if type(content) is not list:
                return True
            for part in message["content"]:
                if (part["type"], type(part.get("text"))) not in _USUAL_PARTS:
                    return True
    except (TypeError, KeyError, AttributeError):
        return True
    return not messages


def _lacks_content(message: JsonFields) -> bool:
    """Whether a message without content should have one. Clients send a null for a tool that had nothing to say."""
    return message["role"] == "user" or (message["role"] != "assistant" and "content" not in message)


def _check_messages(body: JsonFields) -> None:
    messages = cast("list[Any]", body["messages"])
    if not messages:
        raise wrong_value("messages", "must have at least one message", messages)
    for at, message in enumerate(messages):
        field = f"messages[{at}]"
        if not isinstance(message, dict):
            raise wrong_value(field, "must be an object", message)
        fields = cast("JsonFields", message)
        role, content = fields.get("role"), fields.get("content")
        if role not in _ROLES:
            raise wrong_value(f"{field}.role", f"must be one of {', '.join(_ROLES)}", role)
        if _lacks_content(fields) if content is None else not isinstance(content, str | list):
            raise wrong_value(f"{field}.content", "must be a string or a list of parts", content)


def _check_parts(body: JsonFields, known: tuple[str, ...]) -> None:
    """Refuses parts of other types than these. What a model has refused to say becomes the text that it is."""
    for at, message in enumerate(cast("list[JsonFields]", body["messages"])):
        content: Any = message.get("content")
        if isinstance(content, list):
            for number, part in enumerate(cast("list[Any]", content)):
                _check_part(part, f"messages[{at}].content[{number}]", known)


def _check_part(part: object, field: str, known: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise wrong_value(field, 'must be an object, such as {"type": "text", "text": ...}', part)
    fields = cast("JsonFields", part)
    if fields.get("type") == "refusal":
        fields["type"], fields["text"] = "text", fields.pop("refusal", None)
    kind = fields.get("type")
    if kind not in known:
        raise wrong_value(f"{field}.type", f"must be one of {', '.join(known)}: the engine reads no others", kind)
    if kind == "text" and not isinstance(fields.get("text"), str):
        raise wrong_value(f"{field}.text", "must be a string", fields.get("text"))


_PATHS = frozenset({CHAT_COMPLETIONS, CHAT_INPUT_TOKENS})
_ODD_MESSAGE = RequestSign(frozenset({"messages"}), concerns=_has_odd_message)


def _parts(engine: Backend, known: tuple[str, ...]) -> Repair:
    return Repair(
        f"{engine}-parts",
        engines=frozenset({engine}),
        paths=_PATHS & ENGINE_PATHS[engine],
        field="messages",
        kind=RepairKind.REFUSED,
        says=(
            f"A part of a `content` of another type than {', '.join(f'`{kind}`' for kind in known)}, and a text that is"
            " no string. A `refusal` becomes text."
        ),
        sign=_ODD_MESSAGE,
        request=lambda body: _check_parts(body, known),
    )


CHAT_MESSAGES = (
    Repair(
        "chat-messages",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="messages",
        kind=RepairKind.REFUSED,
        says=(
            "No message at all, what is no object, a role that the API does not have, a `content` that is neither a"
            " string nor a list, and a user's message without one."
        ),
        sign=_ODD_MESSAGE,
        request=_check_messages,
    ),
    _parts(Backend.LLAMACPP, _LLAMACPP_READS),
    _parts(Backend.TRANSFORMERS, _TRANSFORMERS_READS),
)
