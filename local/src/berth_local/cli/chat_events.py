"""The stream of an answer, read as events: pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from berth_local.cli.api_errors import stream_error_of
from berth_local.cli.errors import FailedError
from berth_local.cli.http_exchange import parsed

_OTHER_FIELDS = ("event:", "id:", "retry:")
"""What a line of such a stream may begin with that says nothing here."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The model is not ready yet. `reason`: why, in the router's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. `usage`: as in OpenAI's API; None where the engine does not send it."""

    reason: str | None
    usage: dict[str, Any] | None


ChatEvent = Waiting | Text | Thought | Finished


def chat_events(lines: Iterator[str]) -> Iterator[ChatEvent]:
    """Yields the events of these lines. Raises ValueError for lines of another kind, and CommandError."""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    for line in lines:
        if line.startswith(": "):
            yield Waiting(line.removeprefix(": "))
        if not line.startswith("data:"):
            if line and not line.startswith((":", *_OTHER_FIELDS)):
                raise ValueError("no line of an event stream")
            continue
        data = line.removeprefix("data:").removeprefix(" ")
        if data == "[DONE]":
            yield Finished(finish_reason, usage)
            return
        try:
            told = parsed(data)
        except ValueError:
            raise _broken_off() from None
        event = _fields(told)
        if event.get("error") is not None:
            raise stream_error_of(event)
        usage = _numbers(event.get("usage")) or usage
        for choice in _objects(event.get("choices")):
            finish_reason = _text(choice.get("finish_reason")) or finish_reason
            delta = _fields(choice.get("delta"))
            if thought := _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")):
                yield Thought(thought)
            if text := _text(delta.get("content")):
                yield Text(text)
    raise _broken_off()


def _broken_off() -> FailedError:
    return FailedError("the answer broke off before its end")


def _fields(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError("no object")
    return cast("dict[str, Any]", value or {})


def _numbers(value: Any) -> dict[str, Any]:
    """The counts of tokens, and what stands beside them."""
    counts = _fields(value)
    if any(not isinstance(counts.get(name) or 0, int) for name in ("prompt_tokens", "completion_tokens")):
        raise ValueError("no numbers")
    return counts


def _objects(value: Any) -> list[dict[str, Any]]:
    if value is not None and not isinstance(value, list):
        raise ValueError("no list")
    return [_fields(each) for each in cast("list[Any]", value or [])]


def _text(value: Any) -> str:
    """The text, without the halves of characters that JSON can have and no file or terminal takes."""
    if value is not None and not isinstance(value, str):
        raise ValueError("no text")
    return (value or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
