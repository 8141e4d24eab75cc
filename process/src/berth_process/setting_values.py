"""Values that several programs' settings have.

Each function gives the value that a text means, or raises WrongValueError.
"""

from berth_process.settings_error import WrongValueError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_DIGITS = 18
"""More than any size has."""


def log_level(text: str) -> str:
    """One of LOG_LEVELS, in any case."""
    level = text.strip().upper()
    if level not in LOG_LEVELS:
        raise WrongValueError("DEBUG, INFO, WARNING or ERROR")
    return level


def whole_number(text: str) -> int:
    """A whole number, 0 or more."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise WrongValueError("a whole number, 0 or more")
    return int(digits)


def number_or(word: str, value: object, least: float, most: float) -> object:
    """The number that a text means, or this word. The number is whole where `least` is. A number stays as it is."""
    text = str(value).strip().lower()
    if text == word:
        return word
    kind = type(least)
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        whole = "a whole number" if kind is int else "a number"
        raise WrongValueError(f"{whole} from {least:g} to {most:.10g}, or {word}")
    return number
