"""JSON that others wrote, read value by value: what is of another type than it should be is not there."""

import math
from typing import Any

import orjson

from berth_router.errors import EngineFailedError


def as_object(value: object) -> dict[str, Any]:
    """The value, if it is a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def as_list(value: object) -> list[Any]:
    """The value, if it is a list; else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def as_text(value: object) -> str:
    """The value, if it is a string; else an empty one."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int | None:
    """The value, if it is a whole number from 0 up."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def as_number(value: object) -> float | None:
    """The value, if it is a finite number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def engine_object(content: bytes) -> dict[str, Any]:
    """The JSON object that an engine sent. Raises EngineFailedError where it sent none."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise EngineFailedError("The engine sent an answer that is not JSON.", code="engine_error") from None
    if not isinstance(parsed, dict):
        raise EngineFailedError("The engine sent an answer that is not a JSON object.", code="engine_error")
    return as_object(parsed)  # pyright: ignore[reportUnknownArgumentType]
