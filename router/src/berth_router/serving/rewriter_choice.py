"""Which rewriters an engine's answer passes: repairs of what the engine does wrong come first.

Then comes the replacer of the model's name, or the translation to another API.
"""

from typing import Protocol

from berth_api.inference import answered_models
from berth_api.model_deployment import Backend
from berth_router.repairs.repair import AnswerRewriter
from berth_router.repairs.table import answer_repairs, answer_rewriters
from berth_router.request.ask import InferenceRequest
from berth_router.serving.rewriting import ModelNameReplacer, chained


class AnswerTranslation(Protocol):
    """Makes an engine's answer one of another API."""

    @property
    def complete(self) -> bool:
        """Whether the client has got the last of its answer, whatever the engine still sends."""
        ...

    @property
    def has_comments(self) -> bool:
        """Whether a stream may begin with comments while the model starts."""
        ...

    def client_field(self, field: str | None) -> str | None:
        """The client's name of a field of the engine's request, for errors about it."""
        ...

    def shortened(self, tokens: int, window: int) -> InferenceRequest | None:
        """The request with less of its prompt, which had so many tokens and may have the window's; None: it is not cut.

        Raises APIError.
        """
        ...

    def sent_to_engine(self) -> AnswerRewriter:
        """What rewrites the answer to a request that an engine gets now, for the first time or again."""
        ...


def rewriter_if_needed(
    request: InferenceRequest, engine: Backend, path: str, request_id: str, name: str
) -> AnswerRewriter | None:
    """What rewrites an answer for a client that speaks the engine's API; None where it passes as it is.

    `name`: the model's in the engine.
    """
    old = answered_models(engine, name)
    renamed = None
    if old != (request.name,):  # most clients name the model as its engine does
        renamed = ModelNameReplacer.if_needed(old, request.name)
    streams = request.ask.stream
    repairs = answer_repairs(engine, path, request.repairs, streams=streams)
    if not repairs:
        return renamed
    rewriters = answer_rewriters(repairs, request.content, request.name, request_id, streams=streams)
    return chained([*rewriters, renamed] if renamed else rewriters)


def translating_rewriter(
    request: InferenceRequest, engine: Backend, path: str, request_id: str, translation: AnswerTranslation
) -> AnswerRewriter:
    """What rewrites an answer for another API. What of it has to be repaired comes before that."""
    translated = translation.sent_to_engine()
    if not request.repairs:
        return translated
    streams = request.ask.stream
    repairs = answer_repairs(engine, path, request.repairs, streams=streams)
    rewriters = answer_rewriters(repairs, request.content, request.name, request_id, streams=streams)
    return chained([*rewriters, translated]) or translated
