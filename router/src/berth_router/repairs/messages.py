"""Rows about the messages of a conversation."""

from typing import Any, cast

from berth_api.inference import CHAT_COMPLETIONS, MESSAGES
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_MEANS_SOMETHING = "content"
"""The one field of a message that may be null: a message that only calls tools has no content."""


def _drop_nulls(body: JsonFields) -> None:
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in cast("list[Any]", messages):
            if isinstance(message, dict):
                _drop_nulls_of(cast("JsonFields", message))


def _drop_nulls_of(message: JsonFields) -> None:
    for name in [name for name, value in message.items() if value is None and name != _MEANS_SOMETHING]:
        del message[name]


MESSAGES_REPAIRS = (
    Repair(
        "nulls",
        engines=EVERY_ENGINE,
        paths=frozenset({CHAT_COMPLETIONS, MESSAGES}),
        field="messages",
        kind=RepairKind.REPAIRED,
        says="A field of a message that is null is left out, but for its `content`.",
        sign=RequestSign(null=True),
        request=_drop_nulls,
    ),
)
