"""Examples for the rows about answers that follow a JSON schema."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from berth_api.inference import MESSAGES
from berth_formats.abilities import Abilities
from tests.unit.repairs.example import LLAMACPP, VLLM, Answered, Changed, Example, Kept, Refused

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
WANTED = {"output_config": {"format": FORMAT}}
TOOLS = {"tools": [{"name": "add", "input_schema": {"type": "object"}}]}
FORCED = {
    "tools": [{"name": "answer", "description": "Takes the answer to the user.", "input_schema": SCHEMA}],
    "tool_choice": {"type": "any"},
}
THOUGHT = {"type": "thinking", "thinking": "hm"}


def call(given: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": "1", "name": "answer", "input": given}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def message(stop_reason: str, *blocks: object) -> bytes:
    return orjson.dumps({"type": "message", "content": blocks, "stop_reason": stop_reason})


def whole(answer: bytes, got: bytes) -> Answered:
    return Answered(MESSAGES, LLAMACPP, WANTED, answer, got, streams=False)


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def block(index: int, begins: object, *deltas: object) -> bytes:
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    begin, end = (
        event("content_block_start", index=index, content_block=begins),
        event("content_block_stop", index=index),
    )
    return begin + b"".join(pieces) + end


def piece(part: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": part}


def said(part: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": part}


def stream(stop_reason: str, *blocks: bytes) -> bytes:
    end = event("message_delta", delta={"stop_reason": stop_reason}) + event("message_stop")
    return event("message_start", message={"role": "assistant"}) + b"".join(blocks) + end


BEGUN_CALL = {"type": "tool_use", "id": "1", "name": "answer"}

STRUCTURED_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "output-format": [
        Changed(
            MESSAGES,
            VLLM,
            {"output_format": FORMAT, "output_config": {"effort": "low"}},
            {"output_format": None, "output_config": {"effort": "low", "format": FORMAT}},
        ),
        Changed(MESSAGES, LLAMACPP, {"output_format": FORMAT}, FORCED),
        Refused(MESSAGES, VLLM, {"output_format": FORMAT, **WANTED}, "output_format", "older name"),
        Refused(MESSAGES, VLLM, {"output_format": FORMAT, "output_config": 3}, "output_config"),
    ],
    "wrong-format": [
        Refused(MESSAGES, VLLM, {"output_config": {"format": "json"}}, "output_config.format"),
        Refused(MESSAGES, LLAMACPP, {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        Refused(MESSAGES, LLAMACPP, {"output_format": {"type": "text"}}, "output_config.format"),
        Kept(MESSAGES, LLAMACPP, {"output_config": {"effort": "low", "format": None}}),
        Kept(MESSAGES, VLLM, {**WANTED, **TOOLS}),
    ],
    "format-with-tools": [
        Refused(MESSAGES, LLAMACPP, {**WANTED, **TOOLS}, "output_config.format", "tool_choice none"),
        Refused(MESSAGES, LLAMACPP, {"output_format": FORMAT, **TOOLS}, "output_config.format"),
        Kept(MESSAGES, LLAMACPP, {**TOOLS, "output_config": {"effort": "low"}}),
    ],
    "format-no-object": [
        Refused(MESSAGES, LLAMACPP, {"output_format": {**FORMAT, "schema": schema}}, "output_config.format.schema")
        for schema in ({"type": "array"}, {"anyOf": [SCHEMA]})
    ],
    "format-without-tools": [
        Refused(MESSAGES, LLAMACPP, WANTED, "output_config.format", "/v1/chat/completions", Abilities("chat")),
    ],
    "format": [
        Changed(MESSAGES, LLAMACPP, WANTED, FORCED),
        Changed(MESSAGES, LLAMACPP, {**WANTED, **TOOLS, "tool_choice": {"type": "none"}}, FORCED),
        whole(
            message("tool_use", THOUGHT, text("Well:"), call({"age": 5}), call({"age": 6})),
            message("end_turn", THOUGHT, text('{"age":5}')),
        ),
        whole(message("tool_use", call({})), message("end_turn", text("{}"))),
        whole(message("max_tokens", call({})), message("max_tokens")),
        whole(message("max_tokens", text("Well")), message("max_tokens")),
        Answered(
            MESSAGES,
            LLAMACPP,
            WANTED,
            stream(
                "tool_use",
                block(0, THOUGHT),
                block(1, text(""), said("Well:")),
                block(2, BEGUN_CALL, piece('{"age"'), piece(":5}")),
            ),
            stream("end_turn", block(0, THOUGHT), block(1, text(""), said('{"age"'), said(":5}"))),
        ),
        Answered(
            MESSAGES,
            LLAMACPP,
            WANTED,
            stream("max_tokens", block(0, BEGUN_CALL, piece("{}")), block(1, BEGUN_CALL, piece("{"))),
            stream("end_turn", block(0, text(""), said("{}"))),
        ),
        Answered(
            MESSAGES,
            LLAMACPP,
            WANTED,
            stream("max_tokens", block(0, BEGUN_CALL, piece('{"'))),
            stream("max_tokens", block(0, text(""), said('{"'))),
        ),
    ],
}
"""By the row's name."""
