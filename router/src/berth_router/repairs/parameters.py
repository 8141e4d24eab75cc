"""Rows about parameters that `transformers serve` takes and does nothing with: refused where that would be noticed."""

from collections.abc import Callable
from typing import cast

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import JsonFields, Repair, RepairKind, RequestSign

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


PARAMETER_REPAIRS = tuple(
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
