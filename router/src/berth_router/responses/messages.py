"""The items of a request's input → the messages of chat completions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from berth_router.engine_answers.json_values import as_text
from berth_router.responses.fields import list_of, object_of, one_of, optional_text, text_of, unsupported, wrong_field
from berth_router.responses.parts import chat_content, texts_joined
from berth_router.responses.reasoning import text_of_item
from berth_router.responses.tools import CUSTOM_ARGUMENT, function_name

_ROLES = ("user", "assistant", "system", "developer")
_BETWEEN_PARTS = "\n"
"""Between two texts of one message, as engines join them."""
_BETWEEN_INSTRUCTIONS = "\n\n"

_REFERS = "Berth stores nothing, so it cannot look up what an id stands for. Send the item itself"


@dataclass(slots=True)
class _AssistantTurn:
    """What the model said, thought and called without a message of another in between: one message."""

    thought: list[str] = field(default_factory=list[str])
    said: list[str | list[dict[str, Any]]] = field(default_factory=list[str | list[dict[str, Any]]])
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def message(self) -> dict[str, Any] | None:
        """The message; None where it only thought, and said nothing of that."""
        if not (self.said or self.calls):
            return None
        message: dict[str, Any] = {"role": "assistant", "content": texts_joined(self.said, "")}
        if self.thought:
            message["reasoning_content"] = "\n".join(self.thought)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


class _Conversation:
    """Gathers messages."""

    def __init__(self, instructions: str | None) -> None:
        self._system: list[str | list[dict[str, Any]]] = [instructions] if instructions else []
        """Instructions before the first other message. Most chat templates take one message of that kind."""
        self._messages: list[dict[str, Any]] = []
        self._turn = _AssistantTurn()

    def messages(self) -> list[dict[str, Any]]:
        """All of them, in order."""
        self._end_turn()
        system = [{"role": "system", "content": texts_joined(self._system, _BETWEEN_INSTRUCTIONS)}]
        return (system if self._system else []) + self._messages

    def add(self, item: dict[str, Any], at: str) -> None:
        """Adds an item. Raises InvalidRequestError."""
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "item_reference" if "id" in item else None
        read = _ITEMS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise wrong_field(f"{at}.type", f"must be one of {', '.join(_ITEMS)}; got {str(kind)[:100]!r}")
        read(self, item, at)

    def add_message(self, item: dict[str, Any], at: str) -> None:
        """A message."""
        role = one_of(item.get("role"), f"{at}.role", _ROLES)
        content = chat_content(item.get("content"), f"{at}.content", "" if role == "assistant" else _BETWEEN_PARTS)
        if role == "assistant":
            self._turn.said.append(content)
            return
        self._end_turn()
        if role == "user":
            self._messages.append({"role": "user", "content": content})
        elif self._messages:
            self._messages.append({"role": "system", "content": content})
        else:
            self._system.append(content)

    def add_reasoning(self, item: dict[str, Any], at: str) -> None:
        """What the model thought before what it said next."""
        if text := text_of_item(item):
            self._turn.thought.append(text)

    def add_call(self, item: dict[str, Any], at: str) -> None:
        """A call of a function."""
        self._add_call(item, at, text_of(item, "arguments", at))

    def add_custom_call(self, item: dict[str, Any], at: str) -> None:
        """A call of a custom tool."""
        self._add_call(item, at, orjson.dumps({CUSTOM_ARGUMENT: text_of(item, "input", at)}).decode())

    def _add_call(self, item: dict[str, Any], at: str, arguments: str) -> None:
        name = function_name(text_of(item, "name", at), optional_text(item, "namespace", at))
        function = {"name": name, "arguments": arguments}
        self._turn.calls.append({"id": text_of(item, "call_id", at), "type": "function", "function": function})

    def add_output(self, item: dict[str, Any], at: str) -> None:
        """What a tool gave."""
        call_id = text_of(item, "call_id", at)
        output = item.get("output")
        if not isinstance(output, str | list):
            raise wrong_field(f"{at}.output", "must be a string or a list of parts")
        self._end_turn()
        content = chat_content(output, f"{at}.output", _BETWEEN_PARTS)  # pyright: ignore[reportUnknownArgumentType]
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def refuse_reference(self, item: dict[str, Any], at: str) -> None:
        """Raises InvalidRequestError: the id of an item says nothing here."""
        shown = as_text(item.get("id"))[:100]
        raise unsupported(at, f"{_REFERS} in place of item_reference {shown!r}; clients do so with `store` false.")

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, _AssistantTurn()
        if message := turn.message():
            self._messages.append(message)


_ITEMS: Mapping[str, Callable[[_Conversation, dict[str, Any], str], None]] = {
    "message": _Conversation.add_message,
    "reasoning": _Conversation.add_reasoning,
    "function_call": _Conversation.add_call,
    "function_call_output": _Conversation.add_output,
    "custom_tool_call": _Conversation.add_custom_call,
    "custom_tool_call_output": _Conversation.add_output,
    "item_reference": _Conversation.refuse_reference,
}
"""The kinds of items that are taken, or refused with a reason of their own."""


def chat_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request's `instructions` and `input`. Raises InvalidRequestError."""
    conversation = _Conversation(optional_text(body, "instructions"))
    sent = body.get("input")
    if isinstance(sent, str):
        conversation.add_message({"role": "user", "content": sent}, "input")
    else:
        for index, item in enumerate(list_of(sent, "input")):
            conversation.add(object_of(item, f"input[{index}]"), f"input[{index}]")
    messages = conversation.messages()
    if not messages:
        raise wrong_field("input", "must have a message")
    return messages
