"""What a client notices of a tool that must be called."""

from collections.abc import Sequence
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, Changed, Example, Kept

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOK: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
BARE: dict[str, Any] = {"type": "function", "function": {"name": "bare"}}
NAMED = {"type": "function", "function": {"name": "look"}}
FORM = {"type": "json_schema", "json_schema": {"name": "look", "schema": SCHEMA}}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
NESTED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"at": {"$ref": "#/$defs/place"}},
    "$defs": {"place": SCHEMA},
}
NESTED: dict[str, Any] = {"type": "function", "function": {"name": "nested", "parameters": NESTED_SCHEMA}}


def _call(name: str, place: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


CHOICE: dict[str, Any] = {
    "anyOf": [_call("bare", "tool0"), _call("nested", "tool1")],
    "$defs": {
        "tool0": NOTHING,
        "tool1": {**NESTED_SCHEMA, "properties": {"at": {"$ref": "#/$defs/tool1/$defs/place"}}},
    },
}
CHOICE_FORM: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "call", "schema": CHOICE}}

FORCED_TOOL_EXAMPLES: Sequence[Example] = [
    Changed(
        CHAT_COMPLETIONS,
        LLAMACPP,
        {"tools": [BARE, LOOK], "tool_choice": NAMED},
        {"tools": [LOOK], "tool_choice": "auto", "response_format": FORM},
    ),
    Changed(
        CHAT_COMPLETIONS,
        LLAMACPP,
        {"tools": [BARE], "tool_choice": "required"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "bare", "schema": NOTHING}}},
    ),
    Changed(
        CHAT_COMPLETIONS,
        LLAMACPP,
        {"tools": [BARE, NESTED], "tool_choice": "required"},
        {"tools": [BARE, NESTED], "tool_choice": "auto", "response_format": CHOICE_FORM},
    ),
    Changed(
        CHAT_COMPLETIONS,
        LLAMACPP,
        {"tools": [LOOK], "tool_choice": NAMED, "response_format": {"type": "json_object"}},
        {"tool_choice": "auto", "response_format": FORM},
    ),
    Kept(CHAT_COMPLETIONS, LLAMACPP, {"tools": [LOOK], "tool_choice": "auto"}),
    Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"tools": [LOOK], "tool_choice": "auto"}),
]
