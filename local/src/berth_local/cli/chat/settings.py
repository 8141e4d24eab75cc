"""What `/set` changes: the fields of requests, with their bounds and the words for them: pure."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from berth_local.cli.errors import UsageError

_LEAST_CONTEXT, _MOST_CONTEXT = 256, 1_048_576
"""Tokens: the bounds of the API."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them. `read`: the value of a text; raises ValueError."""

    read: Callable[[str], Any]
    right: str
    """What it must be."""
    about: str


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return read


def _from(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if value < low:
            raise ValueError(text)
        return value

    return read


def _context(text: str) -> int | str:
    if text == "auto":
        return text
    value = int(text)
    if not _LEAST_CONTEXT <= value <= _MOST_CONTEXT:
        raise ValueError(text)
    return value


SETTINGS = {
    "temperature": Setting(_between(0, 2), "a number from 0 to 2", "0 is the likeliest answer"),
    "top_p": Setting(_between(0, 1), "a number from 0 to 1", "1 leaves no token out"),
    "max_tokens": Setting(_from(1), "a whole number from 1", "most tokens of an answer"),
    "seed": Setting(_from(0), "a whole number from 0", "the same answer again"),
    "stop": Setting(str, "a text", "what ends an answer"),
    "n_ctx": Setting(
        _context, f"a whole number from {_LEAST_CONTEXT} to {_MOST_CONTEXT}, or auto", "tokens of context (llama.cpp)"
    ),
    "ttl": Setting(_from(0), "a whole number from 0", "seconds that the model stays; 0: for ever"),
}
"""The fields of requests, by their names."""

_OTHER_NAMES = {"num_predict": "max_tokens", "num_ctx": "n_ctx"}
"""Ollama's names for them."""

_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}

SWITCHES = {"think": "whether the model thinks before it answers", "verbose": "say how long each answer took"}
"""What is on or off."""

OTHERS = {"system": "what the model is told first"}

NAMES = (*SETTINGS, *SWITCHES, *OTHERS)


def value_of(name: str, text: str) -> tuple[str, Any]:
    """The setting's own name, and the value. None as the value: the text is empty, and the default comes back.

    Raises UsageError.
    """
    name = _OTHER_NAMES.get(name, name)
    if name in OTHERS:
        return name, text or None
    if name in SWITCHES:
        return name, _switched(name, text)
    if name not in SETTINGS:
        near = get_close_matches(name, NAMES, 1)
        meant = f": did you mean {near[0]}?" if near else f": there are {', '.join(NAMES)}"
        raise UsageError(f"there is no setting {name}{meant}")
    if not text:
        return name, None
    try:
        return name, SETTINGS[name].read(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}: it must be {SETTINGS[name].right}") from None


def _switched(name: str, text: str) -> bool | None:
    if not text:
        return True if name == "verbose" else None
    if text.casefold() not in _WORDS:
        raise UsageError(f"{name} is {text!r}: it must be on or off")
    return _WORDS[text.casefold()]


def value_words(value: Any) -> str:
    """What is said of a setting that has this value now: 0 and 1 are numbers, and neither off nor on."""
    if value is None:
        return "the default again"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "nothing"
