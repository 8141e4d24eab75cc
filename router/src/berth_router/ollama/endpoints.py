"""The paths of Ollama's API that an engine answers: how a request is read, and how an answer is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from berth_api.inference import CHAT_COMPLETIONS, EMBEDDINGS
from berth_router.ollama.answer_clock import AnswerClock
from berth_router.ollama.calls import Call
from berth_router.ollama.chat import chat_call
from berth_router.ollama.embed import embed_answer, embed_call, embed_loaded, embeddings_answer, embeddings_call
from berth_router.ollama.embed import embeddings_loaded as no_vector
from berth_router.ollama.generate import generate_call
from berth_router.ollama.lines import AnswerShape, LineWriter
from berth_router.ollama.stream import whole_answer


@dataclass(frozen=True, slots=True)
class OllamaEndpoint:
    """One of these paths."""

    path: str
    call: Callable[[object], Call]
    """What a request asks, of its parsed JSON. Raises OllamaError."""
    engine_path: str
    """The inference path that a model must have which is only loaded."""
    shape: AnswerShape
    """Where the lines of a stream have their text; /api/embed and /api/embeddings have no streams."""
    whole: Callable[[str, bytes, AnswerClock], bytes]
    """The answer, made of an engine's whole one. The text is the model's name. Raises APIError (502)."""
    without_engine: Callable[[str, str, AnswerClock], bytes]
    """The answer to a request that only loads or unloads. The texts are the model's name, and `load` or `unload`."""


def _conversation(path: str, call: Callable[[object], Call], shape: AnswerShape) -> OllamaEndpoint:
    return OllamaEndpoint(
        path,
        call,
        CHAT_COMPLETIONS,
        shape,
        lambda name, content, clock: whole_answer(shape, name, content, clock),
        lambda name, reason, clock: LineWriter(shape, name, clock).without_engine(reason),
    )


OLLAMA_ENDPOINTS: Mapping[str, OllamaEndpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        _conversation("/api/chat", chat_call, AnswerShape.CHAT),
        _conversation("/api/generate", generate_call, AnswerShape.GENERATE),
        OllamaEndpoint(
            "/api/embed",
            embed_call,
            EMBEDDINGS,
            AnswerShape.GENERATE,
            embed_answer,
            lambda name, _reason, clock: embed_loaded(name, clock),
        ),
        OllamaEndpoint(
            "/api/embeddings",
            embeddings_call,
            EMBEDDINGS,
            AnswerShape.GENERATE,
            lambda _name, content, _clock: embeddings_answer(content),
            lambda _name, _reason, _clock: no_vector(),
        ),
    )
}
"""Every such path."""
