"""The list of models in the shape of Anthropic's API, for clients that send its version: pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from berth_router.errors import InvalidRequestError
from berth_router.management.model_entries import ModelEntry

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 1000


class AnthropicModel(BaseModel):
    """One model, as Anthropic describes it."""

    type: Literal["model"] = "model"
    id: str = Field(description="What to send as `model`.")
    display_name: str = Field(description="As `id`.")
    created_at: datetime = Field(description="When the model was last changed in the store.")
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int | None = Field(description="Tokens of context that a request may have. null: not known.")
    max_tokens: int | None = Field(description="As `max_input_tokens`: prompt and answer share the context.")


class AnthropicModelList(BaseModel):
    """A page of all models."""

    data: list[AnthropicModel]
    has_more: bool = Field(description="Whether there are more in this direction.")
    first_id: str | None
    last_id: str | None


def anthropic_model(entry: ModelEntry) -> AnthropicModel:
    """The entry in Anthropic's shape."""
    return AnthropicModel(
        id=entry.id,
        display_name=entry.id,
        created_at=datetime.fromtimestamp(entry.created, UTC),
        max_input_tokens=entry.context_length,
        max_tokens=entry.context_length,
    )


def anthropic_list(entries: Sequence[ModelEntry], query: Mapping[str, str]) -> AnthropicModelList:
    """The page that a query asks for: `limit`, and `after_id` or `before_id`. Raises InvalidRequestError."""
    limit = _limit(query.get("limit"))
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise _wrong("before_id", "cannot be with `after_id`")
    if before:
        rest = entries[: _place(entries, before, "before_id")]
        page, has_more = rest[-limit:], len(rest) > limit
    else:
        rest = entries[_place(entries, after, "after_id") + 1 :] if after else entries
        page, has_more = rest[:limit], len(rest) > limit
    return AnthropicModelList(
        data=[anthropic_model(entry) for entry in page],
        has_more=has_more,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
    )


def _limit(stated: str | None) -> int:
    if stated is None:
        return _DEFAULT_PAGE
    if not re.fullmatch(r"[0-9]{1,4}", stated) or not 1 <= int(stated) <= _LARGEST_PAGE:
        raise _wrong("limit", f"must be between 1 and {_LARGEST_PAGE}")
    return int(stated)


def _place(entries: Sequence[ModelEntry], name: str, field: str) -> int:
    for at, entry in enumerate(entries):
        if entry.id == name:
            return at
    raise _wrong(field, "must be the `id` of a model in the list")


def _wrong(field: str, right: str) -> InvalidRequestError:
    return InvalidRequestError(f"`{field}` {right}.", param=field, code="invalid_value")
