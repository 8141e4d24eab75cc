"""What an engine's answer says, or one event of its stream: of a chat, of a text, or of llama.cpp's /infill."""

from dataclasses import dataclass
from typing import Any

from berth_router.engine_answers.error_text import error_text
from berth_router.engine_answers.json_values import as_count, as_list, as_number, as_object, as_text
from berth_router.ollama.errors import OllamaError

_NS_PER_MS = 1_000_000

_LENGTH = ("length", "limit")
"""Reasons for an end at the limit of tokens: OpenAI's, and /infill's."""


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """What one event adds to an answer, or all of an answer that came at once."""

    content: str = ""
    thinking: str = ""
    tool_calls: Any = None
    """Pieces of calls, as the engine sent them."""
    logprobs: Any = None
    """Of each token, in the shape that OpenAI and Ollama share; None or a list."""
    reason: str | None = None
    """Why the answer is complete, in Ollama's words: stop or length. None: it goes on."""
    is_end: bool = False
    """Whether nothing comes after it."""
    figures: "EngineFigures | None" = None


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Counts of tokens, and durations in nanoseconds, as far as the engine reports them."""

    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    prompt_ns: int | None = None
    answer_ns: int | None = None

    def updated(self, later: "EngineFigures | None") -> "EngineFigures":
        """These, with what a later event reports."""
        if later is None:
            return self
        return EngineFigures(
            prompt_tokens=self.prompt_tokens if later.prompt_tokens is None else later.prompt_tokens,
            answer_tokens=self.answer_tokens if later.answer_tokens is None else later.answer_tokens,
            prompt_ns=self.prompt_ns if later.prompt_ns is None else later.prompt_ns,
            answer_ns=self.answer_ns if later.answer_ns is None else later.answer_ns,
        )


def part_of(event: dict[str, Any]) -> AnswerPart:
    """What a JSON object of an engine says. Raises OllamaError where it is an error."""
    if event.get("error"):
        raise OllamaError(error_text(event["error"]), status=502)
    if "choices" not in event and "content" in event:
        return _infill_part(event)
    choice = as_object(next(iter(as_list(event.get("choices"))), None))
    message = as_object(choice.get("delta") or choice.get("message"))
    return AnswerPart(
        content=as_text(message.get("content")) or as_text(choice.get("text")),
        thinking=as_text(message.get("reasoning_content")) or as_text(message.get("reasoning")),
        tool_calls=message.get("tool_calls"),
        logprobs=as_list(as_object(choice.get("logprobs")).get("content")) or None,
        reason=_reason(choice.get("finish_reason")),
        figures=_figures(as_object(event.get("usage")), as_object(event.get("timings"))),
    )


def _infill_part(event: dict[str, Any]) -> AnswerPart:
    ended = event.get("stop") is True
    usage = {"prompt_tokens": event.get("tokens_evaluated"), "completion_tokens": event.get("tokens_predicted")}
    return AnswerPart(
        content=as_text(event.get("content")),
        reason=(_reason(event.get("stop_type")) or "stop") if ended else None,
        is_end=ended,
        figures=_figures(usage, as_object(event.get("timings"))) if ended else None,
    )


def _reason(reason: object) -> str | None:
    if not isinstance(reason, str) or not reason:
        return None
    return "length" if reason in _LENGTH else "stop"


def _figures(usage: dict[str, Any], timings: dict[str, Any]) -> EngineFigures | None:
    """`timings` are llama.cpp's, in milliseconds."""
    if not usage and not timings:
        return None
    return EngineFigures(
        prompt_tokens=as_count(usage.get("prompt_tokens")),
        answer_tokens=as_count(usage.get("completion_tokens")),
        prompt_ns=_nanoseconds(timings.get("prompt_ms")),
        answer_ns=_nanoseconds(timings.get("predicted_ms")),
    )


def _nanoseconds(milliseconds: object) -> int | None:
    number = as_number(milliseconds)
    return None if number is None or number > 1e12 else round(number * _NS_PER_MS)
