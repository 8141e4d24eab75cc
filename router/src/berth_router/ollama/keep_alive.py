"""`keep_alive`: how long a model stays after the answer, in Ollama's words and in Berth's."""

import math
import re
from dataclasses import dataclass

from berth_router.ollama.errors import OllamaError, wrong_field

LONGEST_TTL = 31_536_000
"""Seconds: a year, the longest `ttl` that Berth takes."""

_FOR_EVER = 0
"""Berth's `ttl` of a model that stays."""

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+)")
_PARTS = re.compile(_PART)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
_LONGEST_TEXT = 64


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What a request says of the time after it."""

    ttl: int | None = None
    """Berth's `ttl`: seconds, 0 for ever. None: not stated."""
    unload: bool = False
    """Whether the model goes as soon as the answer is complete: Ollama's 0, which Berth's `ttl` cannot say."""


def keep_alive_of(value: object) -> KeepAlive:
    """Reads a number of seconds, or a text such as "5m", "1h30m" and "-1". Negative is for ever. Raises OllamaError."""
    if value is None or value == "":
        return KeepAlive()
    seconds = _seconds(value)
    if seconds == 0:
        return KeepAlive(unload=True)
    if seconds < 0:
        return KeepAlive(ttl=_FOR_EVER)
    return KeepAlive(ttl=math.ceil(min(seconds, LONGEST_TTL)))


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
        return value
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise _refusal()
    if _NUMBER.fullmatch(value):
        return float(value)
    duration = _DURATION.fullmatch(value)
    if duration is None:
        raise _refusal()
    total = math.fsum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(duration[2]))
    return -total if duration[1] == "-" else total


def _refusal() -> OllamaError:
    return wrong_field(
        "keep_alive", 'must be a number of seconds, or a duration such as "5m"; 0 unloads, -1 is for ever'
    )
