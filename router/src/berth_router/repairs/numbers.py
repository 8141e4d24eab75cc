"""Rows about numbers and truth values that are of another type, or out of the bounds of OpenAI's API.

llama.cpp tells the type that it expected, and not of which field, and takes any number.
"""

from dataclasses import dataclass

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS
from berth_router.errors import wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_CHAT, _COMPLETIONS = frozenset({CHAT_COMPLETIONS}), frozenset({COMPLETIONS})


@dataclass(frozen=True, slots=True)
class _Right:
    """What a field may be, and how that is said."""

    says: str
    types: tuple[type, ...]
    least: float = float("-inf")
    most: float = float("inf")

    def allows(self, value: object) -> bool:
        """Whether the field may have this value. true is no number."""
        if type(value) not in self.types:
            return False
        return not isinstance(value, int | float) or self.least <= value <= self.most


_NUMBER, _WHOLE = _Right("a number", (int, float)), _Right("a whole number", (int,))
_PENALTY = _Right("a number from -2 to 2", (int, float), -2, 2)
_TRUTH = _Right("true or false", (bool,))


def _right(field: str, paths: frozenset[str], right: _Right, name: str | None = None) -> Repair:
    def refuse(body: JsonFields) -> None:
        raise wrong_value(field, f"must be {right.says}", body[field])

    return Repair(
        f"type-of-{name or field}",
        engines=EVERY_ENGINE,
        paths=paths,
        field=field,
        kind=RepairKind.REFUSED,
        says=f"What is not {right.says}.",
        sign=RequestSign(frozenset({field}), concerns=lambda body: not right.allows(body[field])),
        request=refuse,
    )


NUMBERS = (
    _right("logprobs", _CHAT, _TRUTH),
    _right("logprobs", _COMPLETIONS, _Right("a whole number", (int, bool)), "completion-logprobs"),
    _right("top_logprobs", _CHAT, _Right("a whole number from 0 to 20", (int,), 0, 20)),
    _right("parallel_tool_calls", _CHAT, _TRUTH),
    *(_right(field, _CHAT | _COMPLETIONS, _PENALTY) for field in ("frequency_penalty", "presence_penalty")),
    *(_right(field, _CHAT | _COMPLETIONS, _WHOLE) for field in ("seed", "top_k")),
    *(_right(field, _CHAT | _COMPLETIONS, _NUMBER) for field in ("min_p", "repeat_penalty", "repetition_penalty")),
)
"""They come before rows that read these fields."""
