"""What is wrong with a command line, in one line for whoever typed it: pure, but for typer's own words."""

import re
from collections.abc import Sequence
from itertools import pairwise

import typer

_WORDS = (
    ("Value error, ", ""),
    ("Input should be a valid integer, unable to parse string as an integer", "it must be a whole number"),
    ("Input should be a valid number, unable to parse string as a number", "it must be a number"),
    ("Input should be", "it must be"),
    ("less than or equal to", "at most"),
    ("greater than or equal to", "at least"),
)
"""Words of typer's errors, and the words that the command prints in their place."""

_INVALID = re.compile(r"^Invalid value for (?P<names>.+?): (?P<right>(?:it must be|.* is not one of) .*)$")


_POSSIBLE = re.compile(r" \(Possible options: (.*)\)$")


def usage_message(error: typer.TyperException, arguments: Sequence[str]) -> str:
    """The error in one line, with the value that is wrong and the option that may be meant."""
    message = _POSSIBLE.sub(r": did you mean \1?", " ".join(error.format_message().split()).rstrip("."))
    for words, ours in _WORDS:
        message = message.replace(words, ours)
    context = getattr(error, "ctx", None)
    if found := _INVALID.match(message):
        names = re.findall(r"'([^']+)'", found["names"]) or [found["names"]]
        value = _value_of(names, arguments)
        if value is not None and found["right"].startswith("it must be"):
            message = f"{names[0]} is {value!r}: {found['right']}"
    command = context.command_path if context else "berth"
    return f"{message[:1].lower()}{message[1:]} ({command} --help)"


def _value_of(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """What the command line gives an option of these names. None: an argument without a name, or a variable."""
    given = [following for name, following in pairwise(arguments) if name in names]
    given += [
        value for argument in arguments for name, equals, value in [argument.partition("=")] if equals and name in names
    ]
    return given[-1] if given else None
