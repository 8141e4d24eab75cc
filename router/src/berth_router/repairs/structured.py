"""Rows about answers of `/v1/messages` that follow a JSON schema.

llama.cpp has them in chats alone. Its messages can do the same with tools: an answer that must be the call of one tool
follows that tool's schema. So the schema becomes a tool, and the call of it becomes text again.
"""

from typing import Any, cast

import orjson

from berth_api.inference import MESSAGES
from berth_api.model_deployment import Backend
from berth_router.errors import EngineFailedError, InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign
from berth_router.repairs.rewriters import EventRewriter, WholeAnswerRewriter

_LLAMACPP, _PATHS = frozenset({Backend.LLAMACPP}), frozenset({MESSAGES})
_FIELD = "output_config.format"
_SIGN_FIELDS = frozenset({"output_config", "output_format"})
"""The second becomes the first before a row looks at its value."""

_TOOL = "answer"


def _move_format(body: JsonFields) -> None:
    wanted = body.pop("output_format")
    config: Any = body.get("output_config") or {}
    if not isinstance(config, dict):
        raise InvalidRequestError("`output_config` must be an object.", param="output_config", code="invalid_value")
    if _wants_format(body):
        raise InvalidRequestError(
            f"`output_format` is the older name of `{_FIELD}`: send one of them.",
            param="output_format",
            code="invalid_value",
        )
    body["output_config"] = {**config, "format": wanted}


def _format(body: JsonFields) -> object:
    config = body.get("output_config")
    return cast("JsonFields", config).get("format") if isinstance(config, dict) else None


def _wants_format(body: JsonFields) -> bool:
    return _format(body) is not None


def _schema(body: JsonFields) -> JsonFields | None:
    """The schema that the answer must follow; None where the format is none of the API's."""
    wanted = _format(body)
    fields = cast("JsonFields", wanted) if isinstance(wanted, dict) else {}
    schema = fields.get("schema")
    return cast("JsonFields", schema) if fields.get("type") == "json_schema" and isinstance(schema, dict) else None


def _has_wrong_format(body: JsonFields) -> bool:
    return _wants_format(body) and _schema(body) is None


def _refuse_format(_: JsonFields) -> None:
    raise InvalidRequestError(
        f'`{_FIELD}` must be {{"type": "json_schema", "schema": {{...}}}}.', param=_FIELD, code="invalid_value"
    )


def _may_call_tools(body: JsonFields) -> bool:
    choice = body.get("tool_choice")
    none = isinstance(choice, dict) and cast("JsonFields", choice).get("type") == "none"
    return _wants_format(body) and bool(body.get("tools")) and not none


def _refuse_with_tools(_: JsonFields) -> None:
    raise InvalidRequestError(
        f"`{_FIELD}` cannot be with `tools` with backend llamacpp: leave one of them out, or send tool_choice none.",
        param=_FIELD,
        code="unsupported_value",
    )


def _wants_no_object(body: JsonFields) -> bool:
    schema = _schema(body)
    return schema is not None and schema.get("type") != "object"


def _refuse_no_object(_: JsonFields) -> None:
    raise InvalidRequestError(
        f'`{_FIELD}.schema` must be of the type "object" with backend llamacpp: put another value into an object.',
        param=f"{_FIELD}.schema",
        code="unsupported_value",
    )


def _refuse_without_template(_: JsonFields) -> None:
    raise InvalidRequestError(
        f"`{_FIELD}` with backend llamacpp needs a model whose chat template has tools (`tools` in GET"
        " /v1/models/inventory). For this model, ask /v1/chat/completions with `response_format`.",
        param=_FIELD,
        code="unsupported_value",
    )


def _force_schema(body: JsonFields) -> None:
    body["tools"] = [
        {"name": _TOOL, "description": "Takes the answer to the user.", "input_schema": _schema(body)},
    ]
    body["tool_choice"] = {"type": "any"}


# -- the answer


def _text_of_call(answer: JsonFields) -> None:
    """Makes the first call the answer's text, in place of what else the model said."""
    content: Any = answer.get("content")
    blocks = cast("list[JsonFields]", content) if isinstance(content, list) else []
    thoughts = [block for block in blocks if block.get("type") == "thinking"]
    call = next((block for block in blocks if block.get("type") == "tool_use"), None)
    cut = answer.get("stop_reason") == "max_tokens"
    if call and (call.get("input") or not cut):
        answer["content"] = [*thoughts, {"type": "text", "text": orjson.dumps(call.get("input")).decode()}]
        answer["stop_reason"] = "end_turn"
    elif cut:  # llama.cpp leaves out what there was of a call
        answer["content"] = thoughts
    else:
        raise EngineFailedError(f"The model gave no answer that follows `{_FIELD}`.", code="engine_error")


def _make_text(event: JsonFields) -> None:
    """Makes a piece of a call a piece of text."""
    delta = event.get("delta")
    piece = cast("JsonFields", delta) if isinstance(delta, dict) else {}
    if piece.get("type") == "input_json_delta":
        event["delta"] = {"type": "text_delta", "text": piece.get("partial_json", "")}


class StructuredEvents:
    """Makes the events of the first call those of a text. Those of what else the model says are left out."""

    def __init__(self) -> None:
        self._places: dict[object, int | None] = {}
        """Of each block of the engine's, by its index: where the client's is, or None."""
        self._called = self._whole = False

    def change(self, event: JsonFields) -> bool:
        """Changes an event in place. Returns whether it stays."""
        match event.get("type"):
            case "content_block_start":
                self._places[event.get("index")] = self._place(event)
            case "content_block_delta":
                _make_text(event)
            case "message_delta":
                delta = event.get("delta")
                if isinstance(delta, dict):
                    self._end(cast("JsonFields", delta))
            case _:
                pass
        if "index" not in event:
            return True
        event["index"] = self._places.get(event["index"])
        return event["index"] is not None

    def _end(self, delta: JsonFields) -> None:
        if self._whole or delta.get("stop_reason") == "tool_use":
            delta["stop_reason"] = "end_turn"

    def _place(self, event: JsonFields) -> int | None:
        block = event.get("content_block")
        kind = cast("JsonFields", block).get("type") if isinstance(block, dict) else None
        if kind == "tool_use" and not self._called:
            self._called = True
            event["content_block"] = {"type": "text", "text": ""}
        elif kind != "thinking":
            self._whole = self._called  # whatever follows the call, such as one more
            return None
        return sum(place is not None for place in self._places.values())


STRUCTURED = (
    Repair(
        "output-format",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="output_format",
        kind=RepairKind.MAPPED,
        says=f"The older name of `{_FIELD}`.",
        sign=RequestSign(frozenset({"output_format"})),
        request=_move_format,
    ),
    Repair(
        "wrong-format",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field=_FIELD,
        kind=RepairKind.REFUSED,
        says="What is not of the type `json_schema`, or has no `schema`.",
        sign=RequestSign(_SIGN_FIELDS, concerns=_has_wrong_format),
        request=_refuse_format,
    ),
    Repair(
        "format-with-tools",
        engines=_LLAMACPP,
        paths=_PATHS,
        field=_FIELD,
        kind=RepairKind.REFUSED,
        says="Together with `tools`, unless `tool_choice` is none.",
        sign=RequestSign(_SIGN_FIELDS, concerns=_may_call_tools),
        request=_refuse_with_tools,
    ),
    Repair(
        "format-no-object",
        engines=_LLAMACPP,
        paths=_PATHS,
        field=f"{_FIELD}.schema",
        kind=RepairKind.REFUSED,
        says="A schema whose type is not `object`.",
        sign=RequestSign(_SIGN_FIELDS, concerns=_wants_no_object),
        request=_refuse_no_object,
    ),
    Repair(
        "format-without-tools",
        engines=_LLAMACPP,
        paths=_PATHS,
        field=_FIELD,
        kind=RepairKind.REFUSED,
        says="If the model's chat template does not tell it of tools.",
        model=lambda abilities: not abilities.tools,
        sign=RequestSign(_SIGN_FIELDS, concerns=_wants_format),
        request=_refuse_without_template,
    ),
    Repair(
        "format",
        engines=_LLAMACPP,
        paths=_PATHS,
        field=_FIELD,
        kind=RepairKind.MAPPED,
        says=(
            "The engine gets the schema as the one tool, which it must call, and the call comes as text. The prompt is"
            " longer by that tool; what the model says besides is left out."
        ),
        sign=RequestSign(_SIGN_FIELDS, concerns=_wants_format),
        request=_force_schema,
        whole=lambda _: WholeAnswerRewriter(_text_of_call),
        stream=lambda _: EventRewriter(StructuredEvents().change),
    ),
)
