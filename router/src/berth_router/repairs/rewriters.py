"""Rewriters that parse an answer: the whole of it, or each event of its stream. Only answers that need it get one."""

from collections.abc import Callable
from typing import Any, cast

import orjson

from berth_router.errors import EngineFailedError
from berth_router.repairs.repair import JsonFields

_MOST_BYTES = 64 * 1024 * 1024
"""Of an answer, or of one event."""

_EVENT_END = b"\n\n"
_DATA = b"data:"
_NAME = b"event:"
_NULL = b"null"


class WholeAnswerRewriter:
    """Changes an answer that is one JSON object."""

    head_lines = None
    begins_at_end = True
    passes = False

    def __init__(self, change: Callable[[JsonFields], None]) -> None:
        """`change`: changes the answer in place. Raises APIError."""
        self._change = change
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing: the answer is not whole yet."""
        self._size += len(data)
        if self._size <= _MOST_BYTES:
            self._parts.append(data)
        else:
            self._parts.clear()
        return b""

    def end(self) -> bytes:
        """The changed answer. Raises APIError where the engine's is none, or too long."""
        answer = _object(b"".join(self._parts)) if self._size <= _MOST_BYTES else None
        changed = _changed(answer, self._change) if answer is not None else None
        if changed is None:
            raise EngineFailedError("The engine's answer cannot be read.", code="engine_error")
        return changed


class EventRewriter:
    """Changes the JSON object of each event, which may have a name. What is no such event passes as it is.

    An event that is null says nothing, and clients cannot read it: it is left out.
    """

    head_lines = None
    begins_at_end = False
    passes = False

    def __init__(self, change: Callable[[JsonFields], bool | None]) -> None:
        """`change`: changes the object in place. An event for which it returns False is left out."""
        self._change = change
        self._kept: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """The events that are whole."""
        *whole, self._kept = (self._kept + data).split(_EVENT_END)
        if len(self._kept) > _MOST_BYTES:
            return b"".join([self._changed(event) for event in whole]) + self.end()
        return b"".join([self._changed(event) for event in whole])

    def end(self) -> bytes:
        """What is left when no more comes."""
        kept, self._kept = self._kept, b""
        return kept

    def _changed(self, event: bytes) -> bytes:
        name, data, content = event.partition(_DATA)
        if content.strip() == _NULL:
            return b""
        parsed = _object(content) if data and (not name or name.startswith(_NAME)) else None
        changed = _changed(parsed, self._change) if parsed is not None else None
        if changed is None:
            return event + _EVENT_END
        return name + b"data: " + changed + _EVENT_END if changed else b""


def _object(content: bytes) -> JsonFields | None:
    try:
        parsed: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return cast("JsonFields", parsed) if isinstance(parsed, dict) else None


def _changed(content: JsonFields, change: Callable[[JsonFields], object]) -> bytes | None:
    """The changed object as JSON; nothing where `change` says False. Raises APIError.

    None: the object is not made as `change` knows it, or is nested too deeply.
    """
    try:
        return b"" if change(content) is False else orjson.dumps(content)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
