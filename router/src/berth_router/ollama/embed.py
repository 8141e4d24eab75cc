"""POST /api/embed, and the older /api/embeddings → POST /v1/embeddings, and their answers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from berth_api.inference import EMBEDDINGS
from berth_router.engine_answers.json_values import as_count, as_list, as_object, engine_object
from berth_router.ollama.answer_clock import AnswerClock
from berth_router.ollama.calls import Call, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.errors import OllamaError, wrong_field
from berth_router.ollama.keep_alive import keep_alive_of
from berth_router.ollama.requests import EmbedBody, EmbeddingsBody, InferenceBody, read, target_of
from berth_router.ollama.writing import written

_CUT_TO_MODEL = -1
"""vLLM's `truncate_prompt_tokens` for a text that is longer than the model takes. llama.cpp refuses such a text: see
`shorter_call`."""

_KEPT_SHARE = 0.98
"""Of the part of a text that the context would have room for, if all parts had as many tokens."""

_UNIT_TOLERANCE = 1e-4


def embed_call(body: object) -> Call:
    """What a request of /api/embed asks of Berth; with no input it loads or unloads. Raises OllamaError."""
    fields = read(EmbedBody, body)
    if fields.dimensions is not None and fields.dimensions < 0:
        raise wrong_field("dimensions", "must be 1 or more")
    wanted: dict[str, Any] = {"dimensions": fields.dimensions} if fields.dimensions else {}
    return _call(fields, body, fields.input or [], wanted, cuts=fields.truncate is not False)


def embeddings_call(body: object) -> Call:
    """The same for /api/embeddings."""
    fields = read(EmbeddingsBody, body)
    return _call(fields, body, [fields.prompt] if fields.prompt else [], {}, cuts=True)


def shorter_call(call: InferenceCall, tokens: int, window: int) -> InferenceCall | None:
    """The call with its longest text cut. None: none can be cut.

    `tokens`: those of the text that llama.cpp has refused, which does not say which of them it was. `window`: the most
    that a text may have. Where that was not enough, or another text, the engine refuses again.
    """
    texts: list[str] = call.body["input"]
    at = max(range(len(texts)), key=lambda each: len(texts[each]))
    kept = int(len(texts[at]) * min(window / tokens, 1) * _KEPT_SHARE)
    if not call.cuts or kept < 1:
        return None
    shorter = [*texts[:at], texts[at][:kept], *texts[at + 1 :]]
    return replace(call, body=call.body | {"input": shorter})


def embed_answer(name: str, content: bytes, clock: AnswerClock) -> bytes:
    """The answer of /api/embed, made of the engine's. `name`: the model as the client wrote it.

    Every vector has the length 1, as Ollama's have. Raises APIError (502).
    """
    answer = engine_object(content)
    tokens = as_count(as_object(answer.get("usage")).get("prompt_tokens"))
    return _embed_answer(name, [_unit(vector) for vector in _vectors(answer)], clock, tokens)


def embed_loaded(name: str, clock: AnswerClock) -> bytes:
    """The answer of /api/embed to a request that had no input."""
    return _embed_answer(name, [], clock, None)


def embeddings_answer(content: bytes) -> bytes:
    """The answer of /api/embeddings, made of the engine's. Raises APIError (502)."""
    vectors = _vectors(engine_object(content))
    return written({"embedding": vectors[0] if vectors else []})


def embeddings_loaded() -> bytes:
    """The answer of /api/embeddings to a request that had no prompt."""
    return written({"embedding": []})


def _call(fields: InferenceBody, body: object, texts: list[str], wanted: dict[str, Any], *, cuts: bool) -> Call:
    keep_alive = keep_alive_of(fields.keep_alive)
    target = target_of(fields, body, keep_alive)
    if not texts:
        return UnloadCall(target) if keep_alive.unload else LoadCall(target)
    asked = {"input": texts, "encoding_format": "float", **wanted}
    if cuts:
        asked["truncate_prompt_tokens"] = _CUT_TO_MODEL
    return InferenceCall(target, EMBEDDINGS, target.fields | asked, streams=False, unloads=keep_alive.unload, cuts=cuts)


def _embed_answer(name: str, vectors: list[Sequence[float]], clock: AnswerClock, tokens: int | None) -> bytes:
    answer: dict[str, Any] = {
        "model": name,
        "embeddings": vectors,
        "total_duration": clock.total(),
        "load_duration": clock.load(),
    }
    if tokens is not None:
        answer["prompt_eval_count"] = tokens
    return written(answer, status=502)


def _vectors(answer: dict[str, Any]) -> list[Sequence[float]]:
    """The vectors, in the order of the texts, whatever order the engine gives them in."""
    entries = [as_object(entry) for entry in as_list(answer.get("data"))]
    ordered = sorted(entries, key=lambda entry: as_count(entry.get("index")) or 0)
    return [_vector(entry.get("embedding")) for entry in ordered]


def _vector(value: object) -> Sequence[float]:
    numbers = as_list(value)
    if not numbers or not all(type(number) in (int, float) for number in numbers):
        raise OllamaError("The engine sent an answer without vectors.", status=502)
    return numbers


def _unit(vector: Sequence[float]) -> Sequence[float]:
    length = math.hypot(*vector)
    if abs(length - 1) < _UNIT_TOLERANCE or length == 0 or not math.isfinite(length):
        return vector
    return [number / length for number in vector]
