"""The items of an answer while they are made, and the events that show them to the client.

Every item begins with `output_item.added` and ends with `output_item.done`, which has all of it.
"""

from typing import Any, Protocol

import orjson

from berth_router.responses.items import (
    COMPLETED,
    IN_PROGRESS,
    NO_ARGUMENTS,
    Answered,
    custom_input,
    text_part,
    written,
)
from berth_router.responses.tools import ToolKind


class EventWriter:
    """Writes the events of one stream, and numbers them."""

    def __init__(self) -> None:
        self.next_number = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        """An event."""
        data = written({"type": kind, "sequence_number": self.next_number, **fields})
        self.next_number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def event_with(self, kind: str, name: str, content: bytes) -> bytes:
        """An event with one field, whose JSON is there already."""
        number = self.next_number
        self.next_number += 1
        template = b'event: %b\ndata: {"type":"%b","sequence_number":%d,"%b":%b}\n\n'
        return template % (kind.encode(), kind.encode(), number, name.encode(), content)


class DeltaWriter:
    """Writes the events of one kind of one item: nearly all events of a stream are of this sort."""

    def __init__(self, events: EventWriter, kind: str, **fields: Any) -> None:
        self._events = events
        named = orjson.dumps({"type": kind, **fields})[:-1]
        self._begin = b"event: %b\ndata: %b" % (kind.encode(), named)

    def delta(self, text: str) -> bytes:
        """The event of a further piece."""
        number = self._events.next_number
        self._events.next_number += 1
        return b'%b,"sequence_number":%d,"delta":%b}\n\n' % (self._begin, number, orjson.dumps(text))


class OpenItem(Protocol):
    """An item that is being made."""

    def close(self, status: str) -> tuple[bytes, dict[str, Any]]:
        """The events that end it, and the whole item."""
        ...


class OpenMessage:
    """What the model says."""

    def __init__(self, answered: Answered, events: EventWriter, index: int) -> None:
        self._answered = answered
        self._events = events
        self._index = index
        self._pieces: list[str] = []
        self._logprobs: list[Any] = []
        self._at: dict[str, Any] = {"item_id": answered.item_id("msg", index), "output_index": index}
        self._part: dict[str, Any] = {**self._at, "content_index": 0}
        self._deltas = DeltaWriter(events, "response.output_text.delta", **self._part, logprobs=[])

    def begin(self) -> bytes:
        """The events that begin it."""
        item = self._answered.message_item(self._index, [], IN_PROGRESS)
        return self._events.event(
            "response.output_item.added", output_index=self._index, item=item
        ) + self._events.event("response.content_part.added", **self._part, part=text_part("", []))

    def add(self, text: str, logprobs: list[Any]) -> bytes:
        """The event of a further piece."""
        self._pieces.append(text)
        if not logprobs:
            return self._deltas.delta(text)
        self._logprobs += logprobs
        return self._events.event("response.output_text.delta", **self._part, delta=text, logprobs=logprobs)

    def close(self, status: str) -> tuple[bytes, dict[str, Any]]:
        """The events that end it, and the whole item."""
        text, events = "".join(self._pieces), self._events
        part = text_part(text, self._logprobs)
        item = self._answered.message_item(self._index, [part], status)
        return (
            events.event("response.output_text.done", **self._part, text=text, logprobs=self._logprobs)
            + events.event("response.content_part.done", **self._part, part=part)
            + events.event("response.output_item.done", output_index=self._index, item=item)
        ), item


class OpenReasoning:
    """What the model thinks: reasoning's own text, or where the client asked for one, the summary."""

    def __init__(self, answered: Answered, events: EventWriter, index: int) -> None:
        self._answered = answered
        self._events = events
        self._index = index
        self._pieces: list[str] = []
        self._summary = answered.call.summarizes
        place = {"summary_index": 0} if self._summary else {"content_index": 0}
        self._at: dict[str, Any] = {"item_id": answered.item_id("rs", index), "output_index": index, **place}
        self._kind = "response.reasoning_summary" if self._summary else "response.reasoning"
        self._deltas = DeltaWriter(events, f"{self._kind}_text.delta", **self._at)

    def begin(self) -> bytes:
        """The events that begin it."""
        item = self._answered.reasoning_item(self._index, "", IN_PROGRESS)
        added = self._events.event("response.output_item.added", output_index=self._index, item=item)
        return added + self._events.event(self._part_event("added"), **self._at, part=self._part(""))

    def add(self, text: str) -> bytes:
        """The event of a further piece."""
        self._pieces.append(text)
        return self._deltas.delta(text)

    def close(self, status: str) -> tuple[bytes, dict[str, Any]]:
        """The events that end it, and the whole item."""
        text, events = "".join(self._pieces), self._events
        item = self._answered.reasoning_item(self._index, text, status)
        return (
            events.event(f"{self._kind}_text.done", **self._at, text=text)
            + events.event(self._part_event("done"), **self._at, part=self._part(text))
            + events.event("response.output_item.done", output_index=self._index, item=item)
        ), item

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}

    def _part_event(self, moment: str) -> str:
        return f"response.reasoning_summary_part.{moment}" if self._summary else f"response.content_part.{moment}"


class OpenCall:
    """A call of a tool. The text for a custom tool lies within JSON, so it comes when that is whole."""

    def __init__(self, answered: Answered, events: EventWriter, index: int, name: str, call_id: str) -> None:
        self._answered = answered
        self._events = events
        self._index = index
        self._tool = answered.call.tools.name_of(name)
        self._call_id = call_id
        self._pieces: list[str] = []
        self._custom = self._tool.kind is ToolKind.CUSTOM
        prefix = "ctc" if self._custom else "fc"
        self._at: dict[str, Any] = {"item_id": answered.item_id(prefix, index), "output_index": index}
        self._kind = "response.custom_tool_call_input" if self._custom else "response.function_call_arguments"
        self._deltas = DeltaWriter(events, f"{self._kind}.delta", **self._at)

    def begin(self) -> bytes:
        """The event that begins it."""
        item = self._item("", IN_PROGRESS)
        return self._events.event("response.output_item.added", output_index=self._index, item=item)

    def add(self, arguments: str) -> bytes:
        """The event of a further piece of the arguments."""
        self._pieces.append(arguments)
        return b"" if self._custom or not arguments else self._deltas.delta(arguments)

    def close(self, status: str) -> tuple[bytes, dict[str, Any]]:
        """The events that end it, and the whole item."""
        arguments, events = "".join(self._pieces), self._events
        missing = b""
        if not arguments and not self._custom and status == COMPLETED:
            arguments = NO_ARGUMENTS
            missing = self._deltas.delta(arguments)
        item = self._item(arguments, status)
        if self._custom:
            text = custom_input(arguments)
            done = self._deltas.delta(text) + events.event(f"{self._kind}.done", **self._at, input=text)
        else:
            done = missing + events.event(f"{self._kind}.done", **self._at, name=self._tool.name, arguments=arguments)
        return done + events.event("response.output_item.done", output_index=self._index, item=item), item

    def _item(self, arguments: str, status: str) -> dict[str, Any]:
        return self._answered.call_item(self._index, self._tool, self._call_id, arguments, status)
