"""Calls of tools, and their results, in a conversation: which result belongs to which call.

OpenAI's API joins them by ids. Ollama's clients send ids in some places or nowhere: then the results that follow a
message belong to its calls by the tool's name, and else in their order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson

from berth_router.ollama.errors import wrong_field
from berth_router.ollama.requests import OllamaMessage, OllamaToolCall
from berth_router.ollama.writing import written


@dataclass(slots=True)
class _OpenCall:
    """A call of the latest message that had any."""

    tool: str
    new_id: str
    id: str | None
    """The client's own; None until there is one."""
    answered: bool = False


def call_ids(messages: Sequence[OllamaMessage]) -> list[tuple[str, ...]]:
    """For each message the ids of its calls, in order; for a result the id of its call; for others nothing.

    Ids that clients sent stay. New ones depend on the conversation's earlier messages alone, so that an engine finds
    the beginning of the prompt in its cache.
    """
    numbers = count(1)
    turns: list[list[_OpenCall]] = []
    results: list[str | None] = []
    latest: list[_OpenCall] = []
    for message in messages:
        calls: list[_OpenCall] = []
        result = None
        if message.role == "tool":
            result = _answer(message, latest, numbers)
        else:
            calls = [_OpenCall(each.function.name, _new_id(numbers), each.id) for each in message.tool_calls or ()]
            latest = calls
        turns.append(calls)
        results.append(result)
    return [
        (result,) if result is not None else tuple(call.id or call.new_id for call in calls)
        for calls, result in zip(turns, results, strict=True)
    ]


def call_fields(calls: Sequence[OllamaToolCall], ids: Sequence[str], field: str) -> list[dict[str, Any]]:
    """A message's calls, as OpenAI's API has them. `field`: the list's own name. Raises OllamaError."""
    return [
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": call.function.name,
                "arguments": _arguments(call.function.arguments, f"{field}[{at}].function.arguments"),
            },
        }
        for at, (call, call_id) in enumerate(zip(calls, ids, strict=True))
    ]


def _answer(result: OllamaMessage, calls: Sequence[_OpenCall], numbers: Iterator[int]) -> str:
    """The id of the call that a result answers, which is one of the call's own where it has any."""
    sent = result.tool_call_id
    call = _answered_call(result, calls)
    if call is None:
        return sent or _new_id(numbers)
    call.answered = True
    call.id = call.id or sent or call.new_id
    return call.id


def _answered_call(result: OllamaMessage, calls: Sequence[_OpenCall]) -> _OpenCall | None:
    by_id = next((call for call in calls if call.id and call.id == result.tool_call_id), None)
    if by_id:
        return by_id
    unanswered = [call for call in calls if not call.answered]
    tool = result.tool_name or result.name
    return next((call for call in unanswered if call.tool == tool), next(iter(unanswered), None))


def _new_id(numbers: Iterator[int]) -> str:
    """Nine letters and digits: Mistral's chat templates take no other ids."""
    return f"call{next(numbers):05d}"


def _arguments(arguments: object, field: str) -> str:
    """The arguments as OpenAI's API has them: the JSON of an object, as a text."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, dict):
        return written(arguments).decode()  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(arguments, str):
        try:
            if isinstance(orjson.loads(arguments), dict):
                return arguments
        except orjson.JSONDecodeError:
            pass
    raise wrong_field(field, "must be an object, or the JSON of one")
