"""Calls of tools, gathered from the pieces in which engines send them."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from berth_router.engine_answers.json_values import as_count, as_list, as_object, as_text
from berth_router.ollama.errors import OllamaError

MOST_CALLS = 1000
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer's calls. More is no answer, but an engine that does not stop."""


@dataclass(slots=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])
    whole: dict[str, Any] | None = None
    """The arguments, where the engine sent an object in place of its text."""


class CallGatherer:
    """Takes the `tool_calls` of an answer, in one piece or in many, and gives whole calls in Ollama's shape."""

    def __init__(self) -> None:
        self._calls: dict[int, _PartialCall] = {}
        self._bytes = 0

    def add(self, pieces: object) -> None:
        """Takes pieces of calls. Raises OllamaError where there are too many."""
        for piece in map(as_object, as_list(pieces)):
            function = as_object(piece.get("function"))
            call = self._call_of(piece, function)
            call.id = call.id or as_text(piece.get("id"))
            call.name = call.name or as_text(function.get("name"))
            if isinstance(function.get("arguments"), dict):
                call.whole = as_object(function["arguments"])
            call.pieces.append(as_text(function.get("arguments")))
            self._bytes += len(call.pieces[-1])
            if len(self._calls) > MOST_CALLS or self._bytes > MOST_BYTES:
                raise OllamaError("The engine's calls of tools do not end.", status=502)

    def calls(self, *, cut_off: bool) -> list[dict[str, Any]]:
        """The calls, in the order in which they began. Raises OllamaError where the arguments of one are no object.

        `cut_off`: whether the answer ended at its limit of tokens. Then a call that is not whole is left out.
        """
        called: list[dict[str, Any]] = []
        for index, call in enumerate(self._calls.values()):
            arguments = call.whole if call.whole is not None else _arguments(call)
            if arguments is not None:
                own_id = {"id": call.id} if call.id else {}
                called.append({**own_id, "function": {"index": index, "name": call.name, "arguments": arguments}})
            elif not cut_off:
                raise OllamaError(
                    f"The model called the tool {call.name[:100]!r} with arguments that are not a JSON object.",
                    status=502,
                )
        return called

    def _call_of(self, piece: dict[str, Any], function: dict[str, Any]) -> _PartialCall:
        """The call that a piece belongs to: by its index, which some engines leave off."""
        index = as_count(piece.get("index"))
        if index is None:
            latest = max(self._calls, default=-1)
            begins = bool(function.get("name")) or latest < 0
            index = latest + 1 if begins else latest
        return self._calls.setdefault(index, _PartialCall())


def _arguments(call: _PartialCall) -> dict[str, Any] | None:
    """The arguments; None where what came of them is no object."""
    text = "".join(call.pieces).strip()
    if not text:
        return {}
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return as_object(parsed) if isinstance(parsed, dict) else None  # pyright: ignore[reportUnknownArgumentType]
