"""The question of one command: its words, and what stdin holds."""

import io
import os
import select
import stat
import sys
from contextlib import suppress

from berth_local.cli.errors import UsageError
from berth_local.cli.printing import print_note

_PATIENCE_SECONDS = 2.0
"""So long nothing may come from a pipe before somebody is told that it is waited for."""

_MOST_CHARACTERS = 20_000_000
"""More than the largest context has. A device may go on without end, until there is no memory left to read it into."""


def question_of(words: list[str]) -> str | None:
    """The question. None: the user wants a conversation. Raises UsageError.

    What is piped in comes before the words, unless one of them is - and says where it belongs.
    """
    if not words and sys.stdin.isatty():
        return None
    if "-" in words or not words:
        prompt = " ".join(_stdin() if word == "-" else word for word in words or ["-"])
    else:
        prompt = "\n\n".join(filter(None, (_piped(), " ".join(words))))
    if not prompt.strip():
        raise UsageError("the prompt is empty: say it after MODEL, or pipe it in")
    return prompt


def _piped() -> str:
    """What a pipe or a file gives as stdin. Nothing where stdin is a terminal or closed, or a device (/dev/null)."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, io.UnsupportedOperation):
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return ""
    return _stdin()


def _stdin() -> str:
    with suppress(OSError, ValueError):  # it is closed, or no file
        if not (sys.stdin.isatty() or select.select([sys.stdin], [], [], _PATIENCE_SECONDS)[0]):
            print_note("waiting for the end of what is piped in: `< /dev/null` says that there is nothing")
    try:
        text = sys.stdin.read(_MOST_CHARACTERS + 1)
        text.encode()  # without a locale, Python takes what is no text for lone halves of characters
    except UnicodeError:
        raise UsageError("what stdin holds is not text in UTF-8") from None
    if len(text) > _MOST_CHARACTERS:
        most = f"{_MOST_CHARACTERS // 1_000_000} million characters"
        raise UsageError(f"what stdin holds has more than {most}, which no model reads")
    return text.strip()
