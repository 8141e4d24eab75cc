"""What a row of the table is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from berth_api.inference import ENGINE_PATHS
from berth_api.model_deployment import Backend
from berth_formats.abilities import Abilities

JsonFields = dict[str, Any]
"""A parsed JSON object."""

EVERY_ENGINE = frozenset(Backend)


class RepairKind(StrEnum):
    """What happens to what an engine would not understand, or would do wrong."""

    REPAIRED = "repaired"
    """What comes or goes is mended."""
    MAPPED = "mapped"
    """It is said in the engine's words."""
    REFUSED = "refused"
    """The client gets a 400 that names the field, as the engine would ignore it."""


class AnswerRewriter(Protocol):
    """Changes an engine's answer, which comes in pieces that are cut anywhere."""

    @property
    def head_lines(self) -> bytes | None:
        """Lines of the answer's head in place of the engine's; None: the engine's stay, as the API does."""
        ...

    @property
    def begins_at_end(self) -> bool:
        """Whether the client's answer begins when the engine's is whole. Until then it can become an error."""
        ...

    @property
    def passes(self) -> bool:
        """Whether all that comes from now on stays as it is, and nothing is kept."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What the client gets of this piece, and of those before it."""
        ...

    def end(self) -> bytes:
        """What is left when no more comes. Raises APIError, but only where `begins_at_end`."""
        ...


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """The request whose answer is rewritten."""

    model: str
    """The model's name as the caller wrote it."""
    request_id: str
    body: JsonFields
    """Its body before its repair; empty for a row without a sign."""


AnswerRewriterMaker = Callable[[AnsweredRequest], AnswerRewriter]


@dataclass(frozen=True, slots=True)
class RequestSign:
    """How a request is found that a row is for, while it is parsed. It must cost next to nothing."""

    fields: frozenset[str] = frozenset()
    """The body has at least one of these fields, and it is not null."""
    null: bool = False
    """The body has a null somewhere."""
    concerns: Callable[[JsonFields], bool] | None = None
    """What is looked at besides, if the signs above are there. None: they are enough."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One row: something that is repaired, mapped or refused. Rows of a request are applied in the table's order."""

    name: str
    """What tests call it."""
    engines: frozenset[Backend]
    paths: frozenset[str]
    field: str
    """What of the request or the answer it is about, for the docs: a field's name, or such as `answer`."""
    kind: RepairKind
    says: str
    """What is done, for the docs."""
    model: Callable[[Abilities], bool] | None = None
    """Which models it is for, by what they can do; None: all. If that is not known, the row is not for the model."""
    sign: RequestSign | None = None
    """Which requests it is for. None: all, and then it has no `request`."""
    window: Callable[[JsonFields, int], None] | None = None
    """Checks, before `request`, whether the body fits into so many tokens of context. Raises InvalidRequestError.

    For what the engine cannot tell of the body that it gets."""
    request: Callable[[JsonFields], None] | None = None
    """Changes the body for the engine in place. Raises InvalidRequestError."""
    whole: AnswerRewriterMaker | None = None
    """Makes what rewrites an answer that is no stream."""
    stream: AnswerRewriterMaker | None = None
    """The same for an answer that is a stream of events."""

    @property
    def for_every_engine(self) -> bool:
        """Whether it is for all engines that have its paths, so that no engine need be chosen first."""
        return all(
            self.engines >= {engine for engine, paths in ENGINE_PATHS.items() if path in paths} for path in self.paths
        )
