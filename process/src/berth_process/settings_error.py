"""What is wrong with a setting, in one line for whoever set it: its name, what it has, and what would be right."""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

EXIT_WRONG_SETTINGS = 2
"""Exit code of a program whose settings are wrong: as for a wrong command line."""

_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


class SettingsError(Exception):
    """A setting is wrong. The message is one line, names the setting, and says what would be right."""


class WrongValueError(ValueError):
    """A value is wrong; the message goes on after "it must be"."""


def read_variable(environment: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
    """What the variable says; the default where it is unset or empty.

    `parse` raises WrongValueError. Raises SettingsError.
    """
    text = environment.get(name)
    if not text:
        return default
    try:
        return parse(text)
    except WrongValueError as error:
        raise SettingsError(f"{name} is {shown(text)}: it must be {error}") from None


def shown(value: object) -> str:
    """A value as an error repeats it: short, in ASCII, and without what stands before an @, which may be a password."""
    text = value if isinstance(value, str) else repr(value)
    if "://" in text and "@" in text:
        text = f"{text.partition('://')[0]}://...@{text.rpartition('@')[2]}"
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ascii(text) if isinstance(value, str) else text.encode("ascii", "backslashreplace").decode()
