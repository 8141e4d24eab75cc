"""JSON that clients and engines get."""

from typing import Any

import orjson

from berth_router.ollama.errors import OllamaError


def written(value: dict[str, Any], *, status: int = 400) -> bytes:
    """The object as JSON. Raises OllamaError with this status where it is nested too deeply to be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise OllamaError("The JSON is nested too deeply.", status=status) from None
