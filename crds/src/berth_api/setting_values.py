"""Values that several programs' settings have.

Each function gives the value that a text means, or raises WrongValueError.
"""

from berth_api.repository import is_endpoint
from berth_api.settings_error import WrongValueError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_DIGITS = 18
"""More than any size has."""


def log_level(text: str) -> str:
    """One of LOG_LEVELS, in any case."""
    level = text.strip().upper()
    if level not in LOG_LEVELS:
        raise WrongValueError("DEBUG, INFO, WARNING or ERROR")
    return level


def hub_endpoint(text: str) -> str:
    """The base URL of a hub, without a slash at its end."""
    endpoint = text.strip().rstrip("/")
    if not is_endpoint(endpoint):
        raise WrongValueError("a URL such as https://huggingface.co, without user name, query or fragment")
    return endpoint


def whole_number(text: str) -> int:
    """A whole number, 0 or more."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise WrongValueError("a whole number, 0 or more")
    return int(digits)
