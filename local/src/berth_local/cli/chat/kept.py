"""The conversations that `/save` keeps, each in a file that only its user reads, and the history of what was typed."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from berth_local.cli.chat.conversation import Conversation, Question, Turn
from berth_local.cli.errors import FailedError, UnknownNameError, UsageError

_NAME = re.compile(r"[\w][\w. -]{0,99}")
_HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation, with the model that it was had with and the settings."""

    model: str
    settings: dict[str, Any]
    conversation: Conversation

    def written(self) -> str:
        """As its file has it."""
        said = [
            {"question": turn.question.text, "images": list(turn.question.images), "answer": turn.answer}
            for turn in self.conversation.turns
        ]
        return json.dumps(
            {"model": self.model, "settings": self.settings, "system": self.conversation.system, "turns": said},
            indent=2,
            ensure_ascii=False,
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """What `written` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        told: Any = json.loads(text)
        turns = [
            Turn(Question(str(turn["question"]), tuple(turn["images"])), str(turn["answer"])) for turn in told["turns"]
        ]
        return cls(str(told["model"]), dict(told["settings"]), Conversation(told["system"], turns))


class Shelf:
    """The kept conversations of one user, in a folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "conversations"

    def names(self) -> list[str]:
        """Their names, in order."""
        return sorted(file.stem for file in self._folder.glob("*.json"))

    def save(self, name: str, kept: Kept) -> bool:
        """Keeps it. Whether another one of this name was there, and is gone. Raises UsageError and FailedError."""
        file = self._file(name)
        there = file.exists()
        new = file.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
                stream.write(kept.written())
            new.replace(file)
        except OSError as error:
            raise FailedError(f"{file} cannot be written: {error.strerror}") from None
        return there

    def load(self, name: str) -> Kept:
        """The one of this name. Raises UsageError, UnknownNameError and FailedError."""
        file = self._file(name)
        try:
            return Kept.read(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnknownNameError(f"no conversation {name} is kept") from None
        except OSError as error:
            raise FailedError(f"{file} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise FailedError(f"{file} is not a conversation that /save has kept") from None

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a conversation: letters, digits, spaces, -, _ and . make one")
        return self._folder / f"{name}.json"


def history_file(home: Path) -> Path | None:
    """The file of what was typed, which only its user reads. None: it cannot be written."""
    file = home / _HISTORY
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError:
        return None
    return file
