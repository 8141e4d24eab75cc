"""A conversation with a model: it asks, and prints the answer as the model makes it."""

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from berth_local.cli.client import ChatEvent, Finished, Text, Waiting
from berth_local.cli.errors import FailedError
from berth_local.cli.printing import terminal_width
from berth_local.cli.waiting import WaitingLine
from berth_local.cli.words import waiting_words
from berth_local.cli.wrapping import WordWrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from berth_local.cli.client import Client


@dataclass(slots=True)
class Answer:
    """One answer, complete or as far as it has come. Times are in seconds since the question."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    first_token_seconds: float | None = None
    seconds: float = 0.0

    def add(self, text: str, seconds: float) -> None:
        """Adds a piece that came `seconds` after the question."""
        self.text += text
        if self.first_token_seconds is None:
            self.first_token_seconds = seconds

    def summary(self) -> str:
        """How long the answer took, in one line."""
        first = "no text" if self.first_token_seconds is None else f"first text after {self.first_token_seconds:.2f} s"
        tokens = (self.usage or {}).get("completion_tokens")
        if tokens is None or self.first_token_seconds is None:
            return f"{first}, {self.seconds:.2f} s in all"
        rate = tokens / max(self.seconds - self.first_token_seconds, 0.001)
        return f"{first}, {tokens} tokens in {self.seconds:.2f} s, {rate:.0f} tokens/s"


@dataclass(slots=True)
class Conversation:
    """The messages so far. `settings`: the fields of every request besides the messages."""

    client: "Client"
    settings: dict[str, Any]
    system: str | None = None
    messages: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all messages but the system's."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def ask(self, question: str, *, show: bool = True) -> Answer:
        """Asks, prints the answer on stdout as it comes, and keeps both. After an error or Ctrl-C it keeps neither."""
        self.messages.append({"role": "user", "content": question})
        try:
            answer = _received(self.client.chat({**self.settings, "messages": self.messages}), show=show)
        except BaseException:
            self.messages.pop()
            raise
        self.messages.append({"role": "assistant", "content": answer.text})
        return answer


def _received(events: "Iterator[ChatEvent]", *, show: bool) -> Answer:
    started, answer = time.monotonic(), Answer()
    width = terminal_width()
    wrap = WordWrap(width) if width else None
    try:
        with WaitingLine(sys.stderr) as waiting:
            for event in events:
                match event:
                    case Waiting(reason):
                        waiting.show(waiting_words(reason))
                    case Text(text):
                        waiting.clear()
                        answer.add(text, time.monotonic() - started)
                        if show:
                            print(wrap.feed(text) if wrap else text, end="", flush=True)
                    case Finished(reason, usage):
                        answer.finish_reason, answer.usage = reason, usage
    finally:
        if show and answer.text and not answer.text.endswith("\n"):
            print(flush=True)
    answer.seconds = time.monotonic() - started
    if not answer.text and answer.finish_reason is None:
        raise FailedError("the answer is empty")
    return answer
