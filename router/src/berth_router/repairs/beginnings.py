"""Rows about the first event of a stream.

llama.cpp sends `message_start`, and the chunk with the role, only if the first token is a whole character. Many
characters outside of Latin script, and all emoji, are several tokens.
"""

from collections.abc import Callable
from typing import Any

import orjson

from berth_api.inference import CHAT_COMPLETIONS, MESSAGES
from berth_api.model_deployment import Backend
from berth_router.repairs.repair import AnsweredRequest, JsonFields, Repair, RepairKind

_EVENT_END = b"\n\n"
_MOST_KEPT = 64 * 1024
"""Bytes of a first event. A longer one passes as it is."""


class StreamBeginning:
    """Puts in front of a stream what its first event shows to be missing. Everything after that passes as it is."""

    head_lines = None
    begins_at_end = False

    def __init__(self, missing: Callable[[bytes], bytes]) -> None:
        """`missing`: what a stream lacks that begins with this event."""
        self._missing = missing
        self._kept: bytes = b""
        self.passes = False
        """Whether the first event has come."""

    def feed(self, data: bytes) -> bytes:
        """All that can be passed on: nothing while the first event is not whole."""
        if self.passes:
            return data
        data = self._kept + data
        begin = 0
        while (end := data.find(_EVENT_END, begin)) >= 0:
            event = data[begin : end + 2]
            if not event.startswith(b":"):  # a comment
                self._kept, self.passes = b"", True
                return data[:begin] + self._missing(event) + data[begin:]
            begin = end + 2
        self._kept = data[begin:]
        self.passes = len(self._kept) > _MOST_KEPT or not _may_begin_event(self._kept)
        return data[:begin] + self.end() if self.passes else data[:begin]

    def end(self) -> bytes:
        """What is left when no more comes."""
        kept, self._kept = self._kept, b""
        return kept


_EVENT_BEGINNINGS = (b"data:", b"event:", b"id:", b":")


def _may_begin_event(data: bytes) -> bool:
    return any(data[: len(each)] == each[: len(data)] for each in _EVENT_BEGINNINGS)


def _missing_role(event: bytes) -> bytes:
    """The chunk with the role, where the first event is another chunk."""
    if b'"role":"assistant"' in event:
        return b""
    chunk = _data(event)
    choices = chunk.get("choices")
    if not choices or chunk.get("error"):
        return b""
    delta = {"role": "assistant", "content": None}
    first = {**choices[0], "delta": delta, "finish_reason": None, "logprobs": None}
    if "logprobs" not in choices[0]:
        del first["logprobs"]
    kept = {name: value for name, value in chunk.items() if name not in ("usage", "timings")}
    return b"data: " + orjson.dumps({**kept, "choices": [first]}) + b"\n\n"


def _missing_start(event: bytes, asked: AnsweredRequest) -> bytes:
    """`message_start`, where the first event is another one. How many tokens the prompt has is not known then."""
    if not event.startswith((b"event: content_block_", b"event: message_delta")):
        return b""
    message: JsonFields = {
        "id": f"msg_{asked.request_id}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": asked.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    return b"event: message_start\ndata: " + orjson.dumps({"type": "message_start", "message": message}) + b"\n\n"


def _data(event: bytes) -> dict[str, Any]:
    """The event's JSON object; an empty one where it has none."""
    try:
        parsed = orjson.loads(event.removeprefix(b"data:"))
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}  # pyright: ignore[reportUnknownVariableType]


BEGINNINGS = (
    Repair(
        "role-chunk",
        engines=frozenset({Backend.LLAMACPP}),
        paths=frozenset({CHAT_COMPLETIONS}),
        field="stream",
        kind=RepairKind.REPAIRED,
        says="A stream begins with the chunk that has the role, whatever the first token is.",
        stream=lambda _: StreamBeginning(_missing_role),
    ),
    Repair(
        "message-start",
        engines=frozenset({Backend.LLAMACPP}),
        paths=frozenset({MESSAGES}),
        field="stream",
        kind=RepairKind.REPAIRED,
        says=(
            "A stream begins with `message_start`, whatever the first token is. If llama.cpp has sent none, its"
            " `usage.input_tokens` is 0."
        ),
        stream=lambda asked: StreamBeginning(lambda event: _missing_start(event, asked)),
    ),
)
