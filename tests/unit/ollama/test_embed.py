"""POST /api/embed and /api/embeddings."""

from typing import Any

import orjson
import pytest

from berth_router.ollama.calls import InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.embed import (
    embed_answer,
    embed_call,
    embed_loaded,
    embeddings_answer,
    embeddings_call,
    embeddings_loaded,
)
from berth_router.ollama.errors import OllamaError
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from tests.unit.ollama.clocks import SetClock, answer_clock

BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"input": "a"}, {"input": ["a"], "truncate_prompt_tokens": -1}),
    ({"input": ["a", "", "b"]}, {"input": ["a", "", "b"], "truncate_prompt_tokens": -1}),
    ({"input": "a", "truncate": False}, {"input": ["a"]}),
    ({"input": "a", "dimensions": 64}, {"input": ["a"], "truncate_prompt_tokens": -1, "dimensions": 64}),
    ({"input": "a", "keep_alive": "5m"}, {"input": ["a"], "truncate_prompt_tokens": -1, "ttl": 300}),
]


@pytest.mark.parametrize(("stated", "asked"), BODIES)
def test_texts_go_to_the_engine(stated: dict[str, Any], asked: dict[str, Any]) -> None:
    call = embed_call({"model": "bge:latest", **stated})
    assert isinstance(call, InferenceCall)
    assert call.path == "/v1/embeddings"
    assert call.body == {"model": "bge", "encoding_format": "float"} | asked
    assert RequestParser({}).parse(call.content(), INFERENCE_PATHS[call.path]).ask.model == "/models/bge"


def test_the_older_path_has_one_text() -> None:
    call = embeddings_call({"model": "bge", "prompt": "a"})
    assert isinstance(call, InferenceCall)
    assert call.body["input"] == ["a"]


def test_without_a_text_the_model_is_loaded_or_unloaded() -> None:
    without: list[dict[str, Any]] = [{}, {"input": ""}, {"input": []}]
    assert all(isinstance(embed_call({"model": "bge", **nothing}), LoadCall) for nothing in without)
    assert isinstance(embed_call({"model": "bge", "keep_alive": 0}), UnloadCall)
    assert isinstance(embeddings_call({"model": "bge", "prompt": ""}), LoadCall)
    assert orjson.loads(embed_loaded("bge", answer_clock()))["embeddings"] == []
    assert orjson.loads(embeddings_loaded()) == {"embedding": []}


@pytest.mark.parametrize(
    ("stated", "field"),
    [({"input": 1}, "input"), ({"input": ["a", 1]}, "input[1]"), ({"input": "a", "dimensions": -1}, "dimensions")],
)
def test_a_wrong_field_is_named(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(OllamaError) as refused:
        embed_call({"model": "bge", **stated})
    assert refused.value.param == field


def engine_answer(*vectors: Any) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return orjson.dumps({"data": data[::-1], "usage": {"prompt_tokens": 7, "total_tokens": 7}})


def test_vectors_come_in_the_order_of_the_texts_and_have_the_length_1() -> None:
    clock = SetClock()
    counted = answer_clock(clock)
    clock.now = 2_000_000
    counted.sent_to_engine()
    clock.now = 5_000_000
    assert orjson.loads(embed_answer("bge:latest", engine_answer([3.0, 4.0], [0.6, 0.8], [0, 0]), counted)) == {
        "model": "bge:latest",
        "embeddings": [[0.6, 0.8], [0.6, 0.8], [0, 0]],
        "total_duration": 5_000_000,
        "load_duration": 2_000_000,
        "prompt_eval_count": 7,
    }


def test_the_older_path_gives_the_vector_as_it_is() -> None:
    assert orjson.loads(embeddings_answer(engine_answer([3.0, 4.0]))) == {"embedding": [3.0, 4.0]}


@pytest.mark.parametrize("vector", ["AACAPw==", [], [None], [[1.0]], None, [True]])
def test_an_answer_without_vectors_is_the_engines_fault(vector: Any) -> None:
    with pytest.raises(OllamaError) as refused:
        embed_answer("bge", engine_answer(vector), answer_clock())
    assert refused.value.status == 502
