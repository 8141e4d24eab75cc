"""What was said in a conversation, and what of it the model still sees: pure."""

from dataclasses import dataclass, field
from typing import Any

_KEPT_SHARE = 0.75
"""What is left of a conversation that has filled the context. Less would forget more; more would fill it at once."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks: text, and images as `data:` URLs."""

    text: str
    images: tuple[str, ...] = ()

    def content(self) -> Any:
        """The content of its message, as OpenAI's API has it."""
        if not self.images:
            return self.text
        shown = [{"type": "image_url", "image_url": {"url": image}} for image in self.images]
        return [{"type": "text", "text": self.text}, *shown]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, and its answer as far as it came."""

    question: Question
    answer: str

    def size(self) -> int:
        """Characters of its text: an image counts as none."""
        return len(self.question.text) + len(self.answer)


@dataclass(slots=True)
class Conversation:
    """All that was said. Of `turns`, the model no longer sees the first `unseen`."""

    system: str | None = None
    turns: list[Turn] = field(default_factory=list[Turn])
    unseen: int = 0
    full: bool = False
    """Whether the last answer has filled the context, so that the next question has no room."""
    told_full: bool = False
    """Whether somebody knows that the model does not see all."""

    def messages(self, question: Question) -> list[dict[str, Any]]:
        """What the model reads."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        said = [
            message
            for turn in self.turns[self.unseen :]
            for message in (
                {"role": "user", "content": turn.question.content()},
                {"role": "assistant", "content": turn.answer},
            )
        ]
        return [*system, *said, {"role": "user", "content": question.content()}]

    def add(self, question: Question, answer: str, *, full: bool = False) -> None:
        """Keeps what was said. `full`: the context ended the answer."""
        self.turns.append(Turn(question, answer))
        self.full = full

    def clear(self) -> None:
        """Forgets all that was said, and not the system's message."""
        self.turns.clear()
        self.unseen, self.full, self.told_full = 0, False, False

    def shorten(self, question: Question, *, keep: int = 0) -> bool:
        """Drops the oldest turns that the model sees, a quarter of the text or more. False: there is none to drop.

        `keep`: so many of the last turns stay.
        """
        self.full = False
        last = len(self.turns) - keep
        wanted = _KEPT_SHARE * (self._seen_size() + len(question.text))
        dropped = False
        while self.unseen < last and (not dropped or self._seen_size() + len(question.text) > wanted):
            self.unseen += 1
            dropped = True
        return dropped

    def _seen_size(self) -> int:
        return sum(turn.size() for turn in self.turns[self.unseen :])
