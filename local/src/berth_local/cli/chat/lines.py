"""What somebody means by a line of a conversation: a question, or a command that begins with a slash: pure."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

COMMANDS = {
    "set": ("NAME VALUE", "change a setting; no VALUE: the default"),
    "show": ("", "the model, the settings, how much was said"),
    "save": ("NAME", "keep the conversation under a name"),
    "load": ("NAME", "go on with a kept one, or another model"),
    "clear": ("", "forget what was said"),
    "help": ("", "this (so does /?)"),
    "bye": ("", "end (so does Ctrl-D)"),
}
"""The commands: what they take, and what each does."""

_TABLE = [
    *((f"/{name} {takes}", does) for name, (takes, does) in COMMANDS.items()),
    ('"""', "begin and end a text of several lines"),
    ("Alt-Enter", "go on in another line"),
    ("Ctrl-C", "stop the answer; what came of it stays"),
]
HELP = "\n".join(
    [*(f"{keys:<16} {does}" for keys, does in _TABLE), "A model that sees looks at images named by their paths."]
)

_OTHER_NAMES = {"?": "help", "exit": "bye", "quit": "bye"}
_QUOTES = '"""'
_SYSTEM = re.compile(r"/set\s+system\s")


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command, by its own name, and what is said after it."""

    name: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class UnknownSlash:
    """A command that there is not. `meant`: the one that may be."""

    name: str
    meant: str | None


def meaning(text: str) -> str | SlashCommand | UnknownSlash:
    """The question, or the command. A text of several lines is a question, whatever it begins with."""
    text = text.strip()
    if not text.startswith("/") or ("\n" in text and not _SYSTEM.match(text)):
        return _unquoted(text)
    first, _, rest = text[1:].partition(" ")
    name = _OTHER_NAMES.get(first, first)
    if name in COMMANDS:
        return SlashCommand(name, _setting(rest) if name == "set" else rest.strip())
    near = get_close_matches(first, COMMANDS, 1)
    if near or (" " not in text and "/" not in first):
        return UnknownSlash(first, near[0] if near else None)
    return text  # a path, or a remark that begins with a slash


def _setting(words: str) -> str:
    """The name and the value; Ollama says `parameter` before the name, `nothink` and `quiet`."""
    words = words.strip().removeprefix("parameter ")
    short = {"nothink": "think off", "think": "think on", "quiet": "verbose off"}
    name, space, value = short.get(words, words).strip().partition(" ")
    return f"{name}{space}{_unquoted(value.strip())}"


def is_open(text: str) -> bool:
    """Whether triple quotes have begun a text of several lines that goes on."""
    start = _SYSTEM.sub("", text.lstrip(), count=1).lstrip()
    return start.startswith(_QUOTES) and start.count(_QUOTES) % 2 == 1


def _unquoted(text: str) -> str:
    if text.startswith(_QUOTES):
        return text.removeprefix(_QUOTES).rstrip().removesuffix(_QUOTES).strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2:
        return text[1:-1]
    return text
