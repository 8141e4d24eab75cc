"""What is wrong with a command line, in one line for whoever typed it: pure, but for click's own words."""

import re
from collections.abc import Sequence
from itertools import pairwise

import click

_WORDS = (
    (r"'.*' is not a valid integer( range)?", "it must be a whole number"),
    (r"'.*' is not a valid float( range)?", "it must be a number"),
    (r"\S+ is not in the range (\S+)<=x<=(\S+)", r"it must be from \1 to \2"),
    (r"\S+ is not in the range x>=(\S+)", r"it must be at least \1"),
    (r"\S+ is not in the range x<=(\S+)", r"it must be at most \1"),
    (r"'.*' is not one of (.*)", r"it must be one of \1"),
    (r"Directory '.*' does not exist", "there is no such folder"),
)
"""Click's words for what is wrong with a value, and the words that the command prints in their place."""

_INVALID = re.compile(r"^Invalid value for (?P<names>.+?): (?P<wrong>.*)$")
_POSSIBLE = re.compile(r"\.? (?:Did you mean (?P<one>.*)\?|\(Did you mean one of: (?P<several>.*)\?\))$")


def usage_message(error: click.ClickException, arguments: Sequence[str]) -> str:
    """The error in one line, with the value that is wrong and the option that may be meant."""
    message = _POSSIBLE.sub(_meant, " ".join(error.format_message().split()).rstrip("."))
    context = getattr(error, "ctx", None)
    if found := _INVALID.match(message):
        names = re.findall(r"'\[?([^']+?)\]?'", found["names"]) or [found["names"]]
        value, right = _value_of(names, arguments), _right(found["wrong"])
        if value is None and (refused := re.search("'(.*?)'", found["wrong"])):
            value = refused[1]
        if right:
            message = f"{names[0]} is {value!r}: {right}" if value is not None else f"{names[0]}: {right}"
    of_group = context is not None and isinstance(context.command, click.Group)
    if isinstance(error, click.NoSuchOption) and of_group and not error.possibilities:
        message += ": those of a command follow it"
    command = context.command_path if context else "berth"
    if not message[:2].isupper():  # SHELL is a name
        message = message[:1].lower() + message[1:]
    return f"{message} ({command} --help)"


def _meant(found: re.Match[str]) -> str:
    return f": did you mean {(found['one'] or found['several']).replace(chr(39), '')}?"


def _right(wrong: str) -> str | None:
    """What would be right. None: the words say it themselves."""
    for words, ours in _WORDS:
        if found := re.fullmatch(words, wrong):
            return found.expand(ours)
    return None


def _value_of(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """What the command line gives an option of these names. None: an argument without a name, or a variable."""
    given = [following for name, following in pairwise(arguments) if name in names]
    given += [
        value for argument in arguments for name, equals, value in [argument.partition("=")] if equals and name in names
    ]
    return given[-1] if given else None
