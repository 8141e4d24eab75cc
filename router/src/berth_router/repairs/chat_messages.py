"""The row about what is no message of OpenAI's chats.

Engines say it in the words of their JSON readers, or hand a role that nothing knows to the model's template.
"""

from types import NoneType
from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS, CHAT_INPUT_TOKENS
from berth_router.errors import wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_KNOWN_ROLES = frozenset(_ROLES)
_CONTENTS = frozenset({str, list, NoneType})


def _has_wrong_message(body: JsonFields) -> bool:
    """Whether `_check_messages` may find something. Agents send hundreds of messages, and they are right."""
    messages = body["messages"]
    try:
        for message in messages:
            if message["role"] not in _KNOWN_ROLES or type(message.get("content")) not in _CONTENTS:
                return True
    except (TypeError, KeyError, AttributeError):
        return True
    return not messages


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
        if type(content) not in _CONTENTS:
            raise wrong_value(f"{field}.content", "must be a string or a list of parts", content)


CHAT_MESSAGES = Repair(
    "chat-messages",
    engines=EVERY_ENGINE,
    paths=frozenset({CHAT_COMPLETIONS, CHAT_INPUT_TOKENS}),
    field="messages",
    kind=RepairKind.REFUSED,
    says=(
        "No message at all, what is no object, a role that the API does not have, and a `content` that is neither a"
        " string nor a list."
    ),
    sign=RequestSign(frozenset({"messages"}), concerns=_has_wrong_message),
    request=_check_messages,
)
