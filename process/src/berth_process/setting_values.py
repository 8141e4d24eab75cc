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
