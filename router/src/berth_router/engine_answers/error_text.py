"""The words of an engine's error."""

import orjson

from berth_router.engine_answers.json_values import as_object

_ERROR_FIELDS = ("error", "message", "detail")
"""Where an error has its words: in these, or in these of these."""
_DEEPEST_ERROR = 4
_LONGEST_TEXT = 2000
"""Characters of an error's words that clients get."""


def error_text(error: object) -> str:
    """The words of an error in the shape of OpenAI's API, or of an engine: with or without its `error` around it."""
    for _ in range(_DEEPEST_ERROR):
        fields = as_object(error)
        error = next((fields[name] for name in _ERROR_FIELDS if fields.get(name)), error)
    if isinstance(error, str):
        return error[:_LONGEST_TEXT]
    try:
        return orjson.dumps(error).decode()[:_LONGEST_TEXT]
    except orjson.JSONEncodeError:  # nested too deeply to be written
        return "The engine failed, and what it says of that cannot be read."
