"""What an engine's answer to a chat completion says, or one event of its stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth_router.engine_answers.json_values import as_count, as_list, as_object, as_text
from berth_router.responses.items import written


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a call of a tool, or a whole one."""

    index: int | None
    """Which call of the answer it belongs to; None where the engine does not say."""
    call_id: str
    name: str
    arguments: str


def choice_of(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, of which there is one; empty where the event has none."""
    return as_object(next(iter(as_list(chunk.get("choices"))), None))


def thought_of(message: Mapping[str, Any]) -> str:
    """What the model thought: engines have two names for it."""
    return as_text(message.get("reasoning_content")) or as_text(message.get("reasoning"))


def logprobs_of(choice: Mapping[str, Any]) -> list[Any]:
    """The probabilities of tokens, in the shape that both APIs share."""
    return as_list(as_object(choice.get("logprobs")).get("content"))


def calls_of(message: Mapping[str, Any]) -> Iterator[CallPiece]:
    """The calls of tools. Raises EngineFailedError where one is nested too deeply."""
    for piece in map(as_object, as_list(message.get("tool_calls"))):
        function = as_object(piece.get("function"))
        yield CallPiece(
            index=as_count(piece.get("index")),
            call_id=as_text(piece.get("id")),
            name=as_text(function.get("name")),
            arguments=_arguments(function.get("arguments")),
        )


def _arguments(arguments: object) -> str:
    """The text of a call's arguments. Some engines send the object in its place."""
    if isinstance(arguments, dict):
        return written(arguments).decode()  # pyright: ignore[reportUnknownArgumentType] (JSON: string keys, any values)
    return as_text(arguments)
