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
        {"response_format": {"type": "json_schema", "json_schema": {"name": "bare", "schema": {"type": "object"}}}},
    ),
    Kept(CHAT_COMPLETIONS, LLAMACPP, {"tools": [BARE, LOOK], "tool_choice": "required"}),
    Changed(
        CHAT_COMPLETIONS,
        LLAMACPP,
        {"tools": [LOOK], "tool_choice": NAMED, "response_format": {"type": "json_object"}},
        {"tool_choice": "auto", "response_format": FORM},
    ),
    Kept(CHAT_COMPLETIONS, LLAMACPP, {"tools": [LOOK], "tool_choice": "auto"}),
    Kept(CHAT_COMPLETIONS, TRANSFORMERS, {"tools": [LOOK], "tool_choice": "auto"}),
]
