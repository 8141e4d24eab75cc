"""Asks a model, and shows the answer as the model makes it."""

import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from berth_local.cli.chat.screen import Screen
from berth_local.cli.chat_events import Finished, Text, Thought, Waiting
from berth_local.cli.errors import CommandError, FailedError
from berth_local.cli.printing import counted, terminal_width
from berth_local.cli.room_words import Residents, waits_for_room
from berth_local.cli.waiting import WaitingLine
from berth_local.cli.words import waiting_words

if TYPE_CHECKING:
    from berth_local.cli.chat.conversation import Conversation, Question
    from berth_local.cli.client import Client

_TOO_LONG = "context_length_exceeded"
_CUT = "length"
"""What an answer ends with that a limit of tokens has ended."""

_EDGE = 8
"""An answer that ends so few tokens before the end of the context has filled it."""


@dataclass(slots=True)
class Answer:
    """One answer, complete or as far as it has come. Times are in seconds since the question."""

    text: str = ""
    thought: str = ""
    """What the model has thought before."""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    window: int | None = None
    """Tokens of the context, where they are known and the answer was cut."""
    first_token_seconds: float | None = None
    seconds: float = 0.0

    def add(self, event: Text | Thought, seconds: float) -> None:
        """Adds a piece that came `seconds` after the question."""
        if isinstance(event, Text):
            self.text += event.text
        else:
            self.thought += event.text
        if self.first_token_seconds is None:
            self.first_token_seconds = seconds

    @property
    def tokens(self) -> int | None:
        """Tokens of the answer. None: the engine did not say."""
        return (self.usage or {}).get("completion_tokens")

    @property
    def cut(self) -> bool:
        """Whether a limit of tokens has ended it."""
        return self.finish_reason == _CUT

    @property
    def filled(self) -> bool:
        """Whether it was the context that has ended it."""
        read: int = (self.usage or {}).get("prompt_tokens") or 0
        return self.cut and self.window is not None and read + (self.tokens or 0) >= self.window - _EDGE

    @property
    def empty(self) -> bool:
        """Whether the model has said nothing."""
        return not self.text.strip()

    def why_empty(self) -> str:
        """Why it says nothing, in a sentence."""
        if self.thought.strip():
            after = f", and a limit ended it after {counted(self.tokens, 'token')}" if self.cut and self.tokens else ""
            return f"the answer is empty: the model has only thought{after}"
        return "the answer is empty: the model has ended it without a word"

    def summary(self) -> str:
        """How long the answer took, in one line."""
        first = "no text" if self.first_token_seconds is None else f"first text after {self.first_token_seconds:.2f} s"
        if self.tokens is None or self.first_token_seconds is None:
            return f"{first}, {self.seconds:.2f} s in all"
        rate = self.tokens / max(self.seconds - self.first_token_seconds, 0.001)
        return f"{first}, {self.tokens} tokens in {self.seconds:.2f} s, {rate:.0f} tokens/s"


@dataclass(slots=True)
class Asking:
    """How a model is asked. `settings`: the fields of every request besides the messages."""

    client: "Client"
    settings: dict[str, Any]
    show: bool = True
    """Whether the answer is shown on stdout as it comes."""
    partial: Answer = field(default_factory=Answer)
    """The last answer as far as it came, also one that was interrupted."""

    def once(self, messages: list[dict[str, Any]]) -> Answer:
        """The answer to these messages. Raises CommandError."""
        started, answer = time.monotonic(), Answer()
        self.partial = answer
        loaded_bytes = cache(lambda: self.client.model_bytes(self.settings["model"]))
        residents = Residents()
        screen = Screen(sys.stdout, terminal_width())
        try:
            with WaitingLine(sys.stderr) as waiting:
                for event in self.client.chat({**self.settings, "messages": messages}):
                    match event:
                        case Waiting(reason):
                            if waits_for_room(reason):
                                residents = residents.and_then(self.client.residents())
                            waiting.show(waiting_words(reason, loaded_bytes(), residents))
                        case Text(text):
                            self._shown(waiting, screen.text, text)
                            answer.add(event, time.monotonic() - started)
                        case Thought(text):
                            self._shown(waiting, screen.thought, text)
                            answer.add(event, time.monotonic() - started)
                        case Finished(reason, usage):
                            answer.finish_reason, answer.usage = reason, usage
        finally:
            answer.seconds = time.monotonic() - started
            if self.show:
                screen.end()
        if answer.cut:
            answer.window = self._window()
        return answer

    def in_turn(self, conversation: "Conversation", question: "Question") -> tuple[Answer, int]:
        """The answer to the next question, and how many turns the model sees no longer since the one before.

        Keeps both in the conversation, also if the answer breaks off or the user presses Ctrl-C: as far as it came.
        Raises CommandError, and what Ctrl-C raises.
        """
        unseen = conversation.unseen
        if conversation.full:
            conversation.shorten(question, keep=1)
        try:
            answer = self._fitting(conversation, question)
        except BaseException:
            if not self.partial.empty:
                conversation.add(question, self.partial.text)
            raise
        if not answer.empty:
            conversation.add(question, answer.text, full=answer.filled)
        return answer, conversation.unseen - unseen

    def _fitting(self, conversation: "Conversation", question: "Question") -> Answer:
        """The answer. While the engine refuses the conversation as too long, the oldest turns are dropped."""
        while True:
            try:
                return self.once(conversation.messages(question))
            except CommandError as error:
                if error.code != _TOO_LONG:
                    raise
                if not conversation.shorten(question):
                    raise FailedError(
                        f"the question alone is longer than the model's context: {error.message}", error.code
                    ) from None

    def _shown(self, waiting: WaitingLine, show: Any, text: str) -> None:
        waiting.clear()
        if self.show:
            show(text)

    def _window(self) -> int | None:
        """Tokens of the context of what runs. None: not known."""
        return self.client.model_fact(self.settings["model"], "n_ctx")
