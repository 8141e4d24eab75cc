"""The table, and which of its rows a request needs.

A row for all engines is applied while the request is parsed. Others wait until an engine is chosen, and then the
request is parsed once more. A request and an answer that need no row cost the look at the signs, and are not parsed
again.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import lru_cache
from itertools import product
from typing import Any

import orjson

from berth_api.model_deployment import Backend
from berth_formats.abilities import Abilities
from berth_router.errors import InvalidRequestError
from berth_router.repairs.anthropic_fields import ANTHROPIC_FIELDS
from berth_router.repairs.beginnings import BEGINNINGS
from berth_router.repairs.chat_fields import CHAT_FIELDS
from berth_router.repairs.chat_messages import CHAT_MESSAGES
from berth_router.repairs.completions import COMPLETIONS_REPAIRS
from berth_router.repairs.content_blocks import CONTENT_BLOCKS
from berth_router.repairs.embeddings import EMBEDDINGS_REPAIRS
from berth_router.repairs.forced_prompt import ECHOED_LOGPROBS
from berth_router.repairs.forced_tool import FORCED_TOOL
from berth_router.repairs.messages import MESSAGES_REPAIRS
from berth_router.repairs.numbers import NUMBERS
from berth_router.repairs.parameters import PARAMETER_REPAIRS
from berth_router.repairs.repair import AnsweredRequest, AnswerRewriter, JsonFields, Repair, RequestSign
from berth_router.repairs.reranking import RERANKING
from berth_router.repairs.structured import STRUCTURED
from berth_router.repairs.tokens import TOKENS
from berth_router.repairs.tools import TOOL_REPAIRS

REPAIRS: tuple[Repair, ...] = (
    *MESSAGES_REPAIRS,
    *ANTHROPIC_FIELDS,
    *CONTENT_BLOCKS,
    *CHAT_MESSAGES,
    *NUMBERS,
    *STRUCTURED,
    *CHAT_FIELDS,
    *TOOL_REPAIRS,
    FORCED_TOOL,
    *COMPLETIONS_REPAIRS,
    ECHOED_LOGPROBS,
    *PARAMETER_REPAIRS,
    *BEGINNINGS,
    *EMBEDDINGS_REPAIRS,
    *RERANKING,
    *TOKENS,
)
"""Everything that is repaired, mapped and refused. docs/reference/repairs.md is made of it."""


_ALWAYS_THERE = frozenset({"messages"})
"""Fields that a request has in any case, so that they tell nothing."""

_KINDS_KEPT = 1024
"""Requests are of few kinds, by the fields that they have."""


BodyLook = Callable[[JsonFields], bool]


def _is_enough(_: JsonFields) -> bool:
    return True


class _Signs:
    """The rows of one path that have signs, and the signs of all of them."""

    def __init__(self, path: str) -> None:
        self._rows = tuple((row, row.sign) for row in REPAIRS if row.sign and path in row.paths)
        self.fields = frozenset(name for _, sign in self._rows for name in sign.fields)
        enough = frozenset(name for _, sign in self._rows if not sign.concerns for name in sign.fields)
        self.telling = enough - _ALWAYS_THERE
        """Fields with which there is a row for the request, whatever their values are."""
        self.looks = self._looks(_ALWAYS_THERE)
        """What is looked at in every request."""
        self.looks_of = {name: self._looks({name}) for name in self.fields - self.telling - _ALWAYS_THERE}
        """What is looked at in requests that have this field."""
        self.looked_at = frozenset(self.looks_of)
        self.null = any(sign.null for _, sign in self._rows)
        self.rows_for = lru_cache(maxsize=_KINDS_KEPT)(self._rows_for)

    def _looks(self, fields: Set[str]) -> tuple[BodyLook, ...]:
        """What tells whether a row is for a request with these fields."""
        signs = (sign for _, sign in self._rows if not sign.fields.isdisjoint(fields))
        return tuple(dict.fromkeys(sign.concerns or _is_enough for sign in signs))

    def show(self, body: JsonFields) -> bool:
        """Whether there may be a row for this request. Few requests have one."""
        if not self.telling.isdisjoint(body):
            return True
        for look in self.looks:
            if look(body):
                return True
        return not self.looked_at.isdisjoint(body) and self._some_field_shows(body)

    def _some_field_shows(self, body: JsonFields) -> bool:
        for name in self.looked_at.intersection(body):
            if body[name] is not None:
                for look in self.looks_of[name]:
                    if look(body):
                        return True
        return False

    def _rows_for(self, present: frozenset[str], has_null: bool) -> tuple[tuple[Repair, RequestSign], ...]:
        """The rows that may be for a request with these fields."""
        return tuple(
            (row, sign) for row, sign in self._rows if not sign.fields.isdisjoint(present) or (has_null and sign.null)
        )


_PATHS = frozenset(path for row in REPAIRS for path in row.paths)
_SIGNS: Mapping[str, _Signs] = {path: _Signs(path) for path in _PATHS}


def _for_every_answer(engine: Backend, path: str, *, streams: bool) -> tuple[Repair, ...]:
    rows = (row for row in REPAIRS if row.sign is None and engine in row.engines and path in row.paths)
    return tuple(row for row in rows if (row.stream if streams else row.whole))


_ANSWERS: Mapping[tuple[Backend, str, bool], tuple[Repair, ...]] = {
    (engine, path, streams): rows
    for engine, path, streams in product(Backend, _PATHS, (True, False))
    if (rows := _for_every_answer(engine, path, streams=streams))
}
"""The rows for every answer of an engine at a path, to requests that stream or not."""


def repair_request(path: str, raw: bytes, body: JsonFields, abilities: Abilities | None) -> tuple[Repair, ...]:
    """Applies to the body the rows that are for all engines, and gives those that wait for an engine.

    `raw`: the body as it came. `abilities`: what the model can do; None where that is not known. Raises
    InvalidRequestError.
    """
    signs = _SIGNS.get(path)
    if signs is None:
        return ()
    null = signs.null and raw.rfind(b"null") >= 0  # which takes half as long as `in`
    return _apply(signs, body, abilities, has_null=null) if null or signs.show(body) else ()


def _apply(signs: _Signs, body: JsonFields, abilities: Abilities | None, *, has_null: bool) -> tuple[Repair, ...]:
    waiting: list[Repair] = []
    present = frozenset([name for name in signs.fields & body.keys() if body[name] is not None])
    looked_at: RequestSign | None = None
    shows = False
    for row, sign in signs.rows_for(present, has_null):
        if sign is not looked_at:  # rows may share a sign that takes a look at all messages
            looked_at, shows = sign, sign.concerns is None or sign.concerns(body)
        if not shows:
            continue
        if row.model and not (abilities and row.model(abilities)):
            continue
        if row.request and row.for_every_engine:
            row.request(body)
        if row.whole or row.stream or not row.for_every_engine:
            waiting.append(row)
    return tuple(waiting)


def repaired_content(content: bytes, rows: Sequence[Repair], engine: Backend, window: int | None) -> bytes:
    """The body, as JSON, for this engine. `window`: tokens of its context, if known. Raises InvalidRequestError."""
    needed = [row for row in rows if row.request and engine in row.engines and not row.for_every_engine]
    if not needed:
        return content
    body: dict[str, Any] = orjson.loads(content)
    for row in needed:
        if row.window and window:
            row.window(body, window)
        if row.request:
            row.request(body)
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        raise InvalidRequestError("The body is nested too deeply.", code="invalid_json") from None


def answer_repairs(engine: Backend, path: str, waiting: Sequence[Repair], *, streams: bool) -> tuple[Repair, ...]:
    """The rows that rewrite an answer, in the order in which it passes them. `waiting`: those of `repair_request`."""
    always = _ANSWERS.get((engine, path, streams), ())
    if not waiting:
        return always
    return (*always, *(row for row in waiting if engine in row.engines and (row.stream if streams else row.whole)))


def answer_rewriters(
    rows: Sequence[Repair], content: bytes, model: str, request_id: str, *, streams: bool
) -> list[AnswerRewriter]:
    """What rewrites an answer. `rows`: those of `answer_repairs`; `content`: the request's body before its repair."""
    body: JsonFields = orjson.loads(content) if any(row.sign for row in rows) else {}
    asked = AnsweredRequest(model, request_id, body)
    makers = [row.stream if streams else row.whole for row in rows]
    return [make(asked) for make in makers if make]
