"""Rows about parameters that an engine takes and does nothing with: refused where that would be noticed."""

from collections.abc import Callable
from typing import cast

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_CHAT, _COMPLETIONS = frozenset({CHAT_COMPLETIONS}), frozenset({COMPLETIONS})


def _is_not(field: str, *defaults: object) -> Callable[[JsonFields], bool]:
    return lambda body: body[field] not in defaults


def _any_value(_: JsonFields) -> bool:
    return True


def _wants_a_format(body: JsonFields) -> bool:
    wanted = body["response_format"]
    return not isinstance(wanted, dict) or cast("JsonFields", wanted).get("type") != "text"


def _refuse(field: str) -> Callable[[JsonFields], None]:
    def refuse(_: JsonFields) -> None:
        raise InvalidRequestError(
            f"`{field}` has no effect with backend transformers: leave it out, or state another backend.",
            param=field,
            code="unsupported_value",
        )

    return refuse


def _is_no(*types: type) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, types) or isinstance(value, bool)


def _has_no_schema(body: JsonFields) -> bool:
    wanted = body["response_format"]
    if not isinstance(wanted, dict) or cast("JsonFields", wanted).get("type") != "json_schema":
        return False
    schema = cast("JsonFields", wanted).get("json_schema")
    return not isinstance(schema, dict) or not isinstance(cast("JsonFields", schema).get("schema"), dict)


def _refuse_schema(_: JsonFields) -> None:
    raise InvalidRequestError(
        "`response_format.json_schema` must be an object with a `schema`.",
        param="response_format.json_schema",
        code="invalid_value",
    )


def _is_no_count(body: JsonFields) -> bool:
    return type(body["n"]) is not int or body["n"] < 1


def _refuse_count(body: JsonFields) -> None:
    raise InvalidRequestError(
        f"`n` must be a whole number from 1; got {str(body['n'])[:100]!r}.", param="n", code="invalid_value"
    )


def _wrong_type(field: str, right: str, *types: type) -> Repair:
    wrong = _is_no(*types)

    def refuse(body: JsonFields) -> None:
        got = str(body[field])[:100]
        raise InvalidRequestError(f"`{field}` must be {right}; got {got!r}.", param=field, code="invalid_value")

    return Repair(
        f"type-of-{field}",
        engines=EVERY_ENGINE,
        paths=_CHAT | _COMPLETIONS,
        field=field,
        kind=RepairKind.REFUSED,
        says=f"What is not {right}.",
        sign=RequestSign(frozenset({field}), concerns=lambda body: wrong(body[field])),
        request=refuse,
    )


_TYPES = (
    _wrong_type("stop", "a string or a list of strings", str, list),
    _wrong_type("logit_bias", "an object", dict, list),
    _wrong_type("response_format", "an object", dict),
    Repair(
        "number-of-answers",
        engines=EVERY_ENGINE,
        paths=_CHAT | _COMPLETIONS,
        field="n",
        kind=RepairKind.REFUSED,
        says="What is not a whole number from 1.",
        sign=RequestSign(frozenset({"n"}), concerns=_is_no_count),
        request=_refuse_count,
    ),
    Repair(
        "no-schema",
        engines=EVERY_ENGINE,
        paths=_CHAT | _COMPLETIONS,
        field="response_format",
        kind=RepairKind.REFUSED,
        says="The type `json_schema` without a `json_schema.schema`.",
        sign=RequestSign(frozenset({"response_format"}), concerns=_has_no_schema),
        request=_refuse_schema,
    ),
)
"""What llama.cpp would ignore."""

_IGNORED = tuple(
    Repair(
        f"transformers-{name}",
        engines=frozenset({Backend.TRANSFORMERS}),
        paths=paths,
        field=field,
        kind=RepairKind.REFUSED,
        says=f"{says}: the engine ignores it.",
        sign=RequestSign(frozenset({field}), concerns=concerns),
        request=_refuse(field),
    )
    for name, paths, field, says, concerns in (
        ("n", _CHAT | _COMPLETIONS, "n", "More than one", _is_not("n", 1)),
        ("logprobs", _CHAT, "logprobs", "true", _is_not("logprobs", False)),
        ("completion-logprobs", _COMPLETIONS, "logprobs", "Any", _any_value),
        ("format", _CHAT, "response_format", "All but text", _wants_a_format),
        ("presence", _CHAT | _COMPLETIONS, "presence_penalty", "All but 0", _is_not("presence_penalty", 0)),
        ("echo", _COMPLETIONS, "echo", "true", _is_not("echo", False)),
    )
)
"""What `transformers serve` ignores."""

PARAMETER_REPAIRS = (*_TYPES, *_IGNORED)
