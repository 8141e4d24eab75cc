"""An engine's answer → Ollama's: a stream of events line by line, or a whole answer."""

from berth_router.engine_answers.events import EventReader
from berth_router.engine_answers.json_values import engine_object
from berth_router.errors import APIError
from berth_router.ollama.answer_clock import AnswerClock, Nanoseconds
from berth_router.ollama.engine_answer import AnswerPart, EngineFigures, part_of
from berth_router.ollama.errors import OllamaError, error_content
from berth_router.ollama.gathering import CallGatherer
from berth_router.ollama.lines import AnswerContent, AnswerEnd, AnswerShape, LineWriter

_DONE = b"[DONE]"
"""The data of the last event of OpenAI's streams. Not all engines send it."""


class AnswerStream:
    """Takes a stream as it comes, in pieces cut anywhere, and gives the lines for the client.

    The stream ends with a line that has `done`, or with one that has `error`: where the engine reports an error, sends
    what makes no sense, or breaks off. Nothing follows that line.
    """

    head_lines = b"content-type: application/x-ndjson\r\ncache-control: no-cache\r\n"
    begins_at_end = False
    passes = False

    def __init__(self, shape: AnswerShape, model: str, clock: AnswerClock) -> None:
        self._lines = LineWriter(shape, model, clock)
        self._clock = clock
        self._events = EventReader()
        self._calls = CallGatherer()
        self._figures = EngineFigures()
        self._reason: str | None = None
        self._first_token_at: Nanoseconds | None = None
        self.ended = False
        """Whether the last line has been given."""
        self.failed = False
        """Whether that was an error."""

    def feed(self, data: bytes) -> bytes:
        """The lines that these bytes complete: none, one or more, each with its newline."""
        if self.ended:
            return b""
        lines: list[bytes] = []
        try:
            for event in self._events.feed(data):
                lines.append(self._lines_of(event))
                if self.ended:
                    break
        except APIError as error:
            lines.append(self._failure(error))
        return b"".join(lines)

    def end(self) -> bytes:
        """What is missing when the engine sends no more: nothing, the last lines, or an error if it broke off."""
        if self.ended:
            return b""
        if self._reason is None:
            return self._failure(OllamaError("The answer broke off before its end.", status=502))
        try:
            return self._last_lines()
        except APIError as error:
            return self._failure(error)

    def _lines_of(self, event: bytes) -> bytes:
        if event.strip() == _DONE:
            return self._last_lines()
        part = part_of(engine_object(event))
        self._figures = self._figures.updated(part.figures)
        self._reason = part.reason or self._reason
        self._calls.add(part.tool_calls)
        lines = self._piece(part)
        return lines + self._last_lines() if part.is_end else lines

    def _piece(self, part: AnswerPart) -> bytes:
        """The line of what this event adds. Calls of tools come later, when they are whole."""
        if self._first_token_at is None and (part.content or part.thinking or part.tool_calls):
            self._first_token_at = self._clock.total()
        if not (part.content or part.thinking or part.logprobs):
            return b""
        return self._lines.piece(AnswerContent(part.content, part.thinking, logprobs=part.logprobs))

    def _last_lines(self) -> bytes:
        reason = self._reason or "stop"
        calls = self._calls.calls(cut_off=reason == "length")
        called = self._lines.piece(AnswerContent(tool_calls=calls)) if calls else b""
        last = self._lines.end(AnswerContent(), AnswerEnd(reason, self._figures, self._first_token_at))
        self.ended = True
        return called + last

    def _failure(self, error: APIError) -> bytes:
        self.ended = self.failed = True
        return error_content(error.message)


def whole_answer(shape: AnswerShape, model: str, content: bytes, clock: AnswerClock) -> bytes:
    """Ollama's answer, made of an engine's that came at once. Raises APIError (502) where that makes no sense."""
    part = part_of(engine_object(content))
    gatherer = CallGatherer()
    gatherer.add(part.tool_calls)
    reason = part.reason or "stop"
    calls = gatherer.calls(cut_off=reason == "length")
    whole = AnswerContent(part.content, part.thinking, calls, part.logprobs)
    return LineWriter(shape, model, clock).end(whole, AnswerEnd(reason, part.figures or EngineFigures()))
