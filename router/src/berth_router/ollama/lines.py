"""The JSON objects of Ollama's answers, one on a line: a piece of an answer, its end, and a whole answer."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from berth_router.ollama.answer_clock import AnswerClock, Nanoseconds
from berth_router.ollama.engine_answer import EngineFigures
from berth_router.ollama.writing import written


class AnswerShape(Enum):
    """Where an answer has its text."""

    CHAT = auto()
    """/api/chat: in `message`."""
    GENERATE = auto()
    """/api/generate: in `response`."""


@dataclass(frozen=True, slots=True)
class AnswerContent:
    """What the model says: a piece of it, or all."""

    text: str = ""
    thinking: str = ""
    tool_calls: list[dict[str, Any]] | None = None
    """Whole calls, whose arguments are objects."""
    logprobs: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How an answer ended."""

    reason: str
    """stop, length, load or unload."""
    figures: EngineFigures
    first_token_at: Nanoseconds | None = None
    """By the answer's clock; None where the answer came at once."""


class LineWriter:
    """Writes lines about one request. `model`: the name as the client wrote it."""

    def __init__(self, shape: AnswerShape, model: str, clock: AnswerClock) -> None:
        self._shape = shape
        self._model = model
        self._clock = clock

    def piece(self, content: AnswerContent) -> bytes:
        """A piece of an answer that goes on. Raises OllamaError (502)."""
        return self._line(content, {"done": False})

    def end(self, content: AnswerContent, end: AnswerEnd) -> bytes:
        """The last line of an answer, or the only one. Raises OllamaError (502)."""
        return self._line(content, {"done": True, "done_reason": end.reason, **self._figures(end)})

    def without_engine(self, reason: str) -> bytes:
        """The answer to a request that only loads or unloads a model. `reason`: load or unload."""
        durations = {"total_duration": self._clock.total(), "load_duration": self._clock.load()}
        return self._line(AnswerContent(), {"done": True, "done_reason": reason, **durations})

    def _line(self, content: AnswerContent, state: dict[str, Any]) -> bytes:
        line: dict[str, Any] = {"model": self._model, "created_at": self._clock.created_at()}
        if self._shape is AnswerShape.CHAT:
            message: dict[str, Any] = {"role": "assistant", "content": content.text}
            line["message"] = message
        else:
            message = line
            line["response"] = content.text
        if content.thinking:
            message["thinking"] = content.thinking
        if content.tool_calls:
            message["tool_calls"] = content.tool_calls
        line |= state
        if content.logprobs:
            line["logprobs"] = content.logprobs
        return written(line, status=502) + b"\n"

    def _figures(self, end: AnswerEnd) -> dict[str, int]:
        """Counts, where the engine reports them, and durations: the engine's own, else what passed as seen from here.

        None of those of work is 0: clients divide by them.
        """
        figures, total, load = end.figures, self._clock.total(), self._clock.load()
        first = load if end.first_token_at is None else end.first_token_at
        prompt_ns = first - load if figures.prompt_ns is None else figures.prompt_ns
        answer_ns = total - first if figures.answer_ns is None else figures.answer_ns
        written_figures = {
            "total_duration": total,
            "load_duration": load,
            "prompt_eval_count": figures.prompt_tokens,
            "prompt_eval_duration": max(prompt_ns, 1),
            "eval_count": figures.answer_tokens,
            "eval_duration": max(answer_ns, 1),
        }
        return {name: value for name, value in written_figures.items() if value is not None}
