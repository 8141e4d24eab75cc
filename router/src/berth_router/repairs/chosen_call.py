"""A call of one of several tools, as a text that follows a JSON schema: `{"name": NAME, "arguments": {...}}`."""

import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

from berth_router.repairs.repair import JsonFields

_BEGINNING = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.DOTALL)


def schema_of_choice(parameters: Mapping[str, JsonFields]) -> JsonFields:
    """The schema of a call of one of these tools. `parameters`: the schema of each one's arguments, by its name."""
    places = {name: f"tool{number}" for number, name in enumerate(parameters)}
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for name, place in places.items()
        ],
        "$defs": {place: _moved(parameters[name], f"#/$defs/{place}") for name, place in places.items()},
    }


def _moved(schema: Any, root: str) -> Any:
    """The schema with its references to itself changed, as it stands in another one now."""
    if isinstance(schema, list):
        return [_moved(each, root) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    moved = {name: _moved(value, root) for name, value in cast("JsonFields", schema).items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = root + reference.removeprefix("#")
    return moved


class ChosenCall:
    """Splits the text, which comes in pieces that are cut anywhere."""

    def __init__(self, name: str | None = None) -> None:
        """`name`: of the tool, where there is one alone. Then all of the text is its arguments."""
        self.name = name
        """The chosen tool, once the text has told it."""
        self._alone = name is not None
        self._beginning = ""
        self._depth = 0
        self._in_string = self._escaped = self._ended = False

    def feed(self, text: str) -> str:
        """What of the arguments these characters are."""
        if self._alone:
            return text
        if self.name is None:
            self._beginning += text
            found = _BEGINNING.match(self._beginning)
            if found is None:
                return ""
            self.name, text = orjson.loads(found[1]), self._beginning[found.end() :]
        if not self._depth:  # they have not begun: white space may stand before them
            text = text.lstrip()
        return text[: self._end_of_arguments(text)]

    def _end_of_arguments(self, text: str) -> int:
        """How many of these characters belong to the arguments: up to the brace that closes them."""
        for at, character in enumerate(text):
            if self._ended:
                return at
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = character == "\\"
                self._in_string = character != '"'
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                self._ended = self._depth == 0
        return len(text)
