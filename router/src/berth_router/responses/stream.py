"""An engine's stream of a chat completion → the events of a response."""

from typing import Any

from berth_router.engine_answers.error_text import error_text
from berth_router.engine_answers.events import EventReader
from berth_router.engine_answers.json_values import as_object, as_text, engine_object
from berth_router.errors import APIError, EngineFailedError
from berth_router.responses.chunks import CallPiece, calls_of, choice_of, logprobs_of, thought_of
from berth_router.responses.items import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    Answered,
    ended_as,
    usage_of,
)
from berth_router.responses.open_items import EventWriter, OpenCall, OpenItem, OpenMessage, OpenReasoning

_DONE = b"[DONE]"
"""The data of the last event of OpenAI's streams. Not all engines send it."""

MOST_CALLS = 1000
MOST_CHARACTERS = 64 * 1024 * 1024
"""Of one answer, whose text is kept for its last events. More is no answer, but an engine that does not stop."""


class ResponseStream:
    """Takes a stream as it comes, in pieces cut anywhere, and gives the events for the client.

    It ends with `response.completed` or `response.incomplete`, or with what `failure` writes: where the engine reports
    an error, sends what makes no sense, or breaks off.
    """

    head_lines = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    begins_at_end = False
    passes = False

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._engine_events = EventReader()
        self._events = EventWriter()
        self._begun = False
        self._speaking: OpenMessage | OpenReasoning | None = None
        self._calls: dict[int, OpenCall] = {}
        self._unnamed: dict[int, CallPiece] = {}
        """Calls of which the name has not come yet."""
        self._latest_call = -1
        self._open: dict[int, OpenItem] = {}
        """Items that are not ended, by their place in the answer."""
        self._output: dict[int, dict[str, Any]] = {}
        """Items that are."""
        self._characters = 0
        self._reason: str | None = None
        self._usage: dict[str, Any] | None = None
        self.ended = False
        """Whether the last event has been given."""

    def feed(self, data: bytes) -> bytes:
        """The events that these bytes make: none, one or more, each whole."""
        if self.ended:
            return b""
        sent: list[bytes] = []
        try:
            for event in self._engine_events.feed(data):
                self._take(event, sent)
                if self.ended:
                    break
        except APIError as error:
            sent.append(self.failure(error.content()))
        return b"".join(sent)

    def end(self) -> bytes:
        """What is missing when the engine sends no more: the end, or an error if it broke off."""
        if self.ended:
            return b""
        sent: list[bytes] = []
        if self._reason:
            self._end(sent)
        else:
            error = EngineFailedError("The answer broke off before its end.")
            sent.append(self.failure(error.content()))
        return b"".join(sent)

    def failure(self, content: dict[str, Any]) -> bytes:
        """The events that end the stream with an error. `content`: its JSON object.

        `error` makes OpenAI's SDKs raise; Codex reads `response.failed` alone.
        """
        self.ended = True
        error = as_object(content.get("error"))
        message = as_text(error.get("message")) or error_text(content)
        code = as_text(error.get("code")) or "server_error"
        said = {"code": code, "message": message, "param": as_text(error.get("param")) or None}
        failed = self._answered.response(FAILED, self._whole_output(), error={"code": code, "message": message})
        nested = {"type": as_text(error.get("type")) or "server_error", **said}
        return self._events.event("error", **said, error=nested) + self._events.event_with(
            "response.failed", "response", failed
        )

    def _take(self, event: bytes, sent: list[bytes]) -> None:
        if event.strip() == _DONE:
            self._end(sent)
            return
        chunk = engine_object(event)
        if chunk.get("error"):
            sent.append(self.failure(chunk))
            return
        if not self._begun:
            self._begin(sent)
        if usage := chunk.get("usage"):
            self._usage = usage_of(usage)
        choice = choice_of(chunk)
        if not choice:
            return
        delta = as_object(choice.get("delta"))
        if thought := thought_of(delta):
            self._count(thought)
            sent.append(self._reasoning(sent).add(thought))
        text, logprobs = as_text(delta.get("content")), logprobs_of(choice)
        if text or logprobs:
            self._count(text)
            sent.append(self._message(sent).add(text, logprobs))
        if delta.get("tool_calls"):
            self._take_calls(delta, sent)
        self._reason = as_text(choice.get("finish_reason")) or self._reason

    def _begin(self, sent: list[bytes]) -> None:
        self._begun = True
        response = self._answered.response(IN_PROGRESS)
        sent.append(self._events.event_with("response.created", "response", response))
        sent.append(self._events.event_with("response.in_progress", "response", response))

    def _end(self, sent: list[bytes]) -> None:
        """Ends all items, and the answer."""
        if not self._begun:
            self._begin(sent)
        for piece in self._unnamed.values():
            self._begin_call(piece, sent)
        self._unnamed.clear()
        if not (self._open or self._output):
            self._message(sent)
        status = ended_as(self._reason)
        last = max(self._open, default=-1)
        for index in list(self._open):
            self._close(index, status if index == last else COMPLETED, sent)
        kind = "response.completed" if status == COMPLETED else "response.incomplete"
        response = self._answered.response(status, self._whole_output(), usage=self._usage, reason=self._reason)
        sent.append(self._events.event_with(kind, "response", response))
        self.ended = True

    def _whole_output(self) -> list[dict[str, Any]]:
        return [self._output[index] for index in sorted(self._output)]

    # -- items

    def _message(self, sent: list[bytes]) -> OpenMessage:
        if not isinstance(self._speaking, OpenMessage):
            index = self._next_index(sent)
            self._speaking = self._open[index] = OpenMessage(self._answered, self._events, index)
            sent.append(self._speaking.begin())
        return self._speaking

    def _reasoning(self, sent: list[bytes]) -> OpenReasoning:
        if not isinstance(self._speaking, OpenReasoning):
            index = self._next_index(sent)
            self._speaking = self._open[index] = OpenReasoning(self._answered, self._events, index)
            sent.append(self._speaking.begin())
        return self._speaking

    def _take_calls(self, delta: dict[str, Any], sent: list[bytes]) -> None:
        for piece in calls_of(delta):
            self._count(piece.arguments)
            key = piece.index
            if key is None:  # a piece with a name begins a call; another one goes on with the latest
                key = self._latest_call + 1 if piece.name or self._latest_call < 0 else self._latest_call
            self._latest_call = max(self._latest_call, key)
            if call := self._calls.get(key):
                sent.append(call.add(piece.arguments))
                continue
            whole = _joined(self._unnamed.pop(key, None), piece)
            if whole.name:
                self._calls[key] = self._begin_call(whole, sent)
            else:
                self._unnamed[key] = whole
            if len(self._calls) + len(self._unnamed) > MOST_CALLS:
                raise EngineFailedError("The engine's calls of tools do not end.", code="engine_error")

    def _begin_call(self, piece: CallPiece, sent: list[bytes]) -> OpenCall:
        index = self._next_index(sent)
        call_id = piece.call_id or self._answered.item_id("call", index)
        call = self._open[index] = OpenCall(self._answered, self._events, index, piece.name, call_id)
        sent += (call.begin(), call.add(piece.arguments))
        return call

    def _next_index(self, sent: list[bytes]) -> int:
        """The place of a new item. What the model said before ends; calls may go on side by side."""
        if self._speaking:
            speaking, self._speaking = self._speaking, None
            self._close(next(index for index, item in self._open.items() if item is speaking), COMPLETED, sent)
        return len(self._open) + len(self._output)

    def _close(self, index: int, status: str, sent: list[bytes]) -> None:
        events, item = self._open.pop(index).close(status)
        self._output[index] = item
        sent.append(events)

    def _count(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise EngineFailedError("The engine's answer does not end.", code="engine_error")


def _joined(before: CallPiece | None, piece: CallPiece) -> CallPiece:
    if before is None:
        return piece
    call_id = before.call_id or piece.call_id
    return CallPiece(piece.index, call_id, piece.name, before.arguments + piece.arguments)
