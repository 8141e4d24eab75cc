"""What the engine gets of a request's body: defaults come in, and fields that are not for it go out."""

import tracemalloc
from typing import Any

import orjson
import pytest

from berth_api.engine_settings import TransformersSettings
from berth_api.model_deployment import ModelDeploymentSpec
from berth_formats.abilities import Abilities
from berth_router.request.aliases import Aliases
from berth_router.request.ask import RequestParser
from berth_router.request.defaults import AnswerDefaults
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.request.engine_body import UNSAFE_FIELDS, UNSAFE_TEMPLATE_ARGUMENTS
from berth_router.request.fields import BerthFields
from tests.unit.router.asking import CHAT, LLAMACPP, MESSAGES, TRANSFORMERS, body_of, parsed, requested

ALL_UNSAFE = [field for fields in UNSAFE_FIELDS.values() for field in fields]
BATCHED = TRANSFORMERS.model_copy(update={"transformers": TransformersSettings(continuous_batching=True)})


@pytest.mark.covers("temperature", "top_p")
def test_the_engine_gets_the_sampling_defaults_where_nothing_is_stated() -> None:
    assert parsed()[1] == {
        "model": "/models/tiny",
        "messages": MESSAGES,
        "stream": False,
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 512,
    }


@pytest.mark.covers("other fields of the API")
def test_the_engine_gets_what_is_stated_as_it_is() -> None:
    stated: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 9,
        "tools": [],
        "stream": True,
        "chat_template_kwargs": {},
    }
    assert parsed(**stated)[1] == {"model": "/models/tiny", "messages": MESSAGES, **stated}


@pytest.mark.parametrize(
    ("spec", "path", "fields", "configured"),
    [
        (TRANSFORMERS, CHAT, {}, True),
        (TRANSFORMERS, CHAT, {"temperature": 0.2}, True),
        (TRANSFORMERS, "/v1/completions", {"prompt": "Once"}, True),
        (TRANSFORMERS, CHAT, {"temperature": 0}, False),
        (BATCHED, CHAT, {}, False),
        (LLAMACPP, CHAT, {}, False),
    ],
)
def test_an_engine_that_samples_only_when_told_is_told(
    spec: ModelDeploymentSpec, path: str, fields: dict[str, Any], configured: bool
) -> None:
    request = requested(path, **fields)
    body = orjson.loads(request.body_for(spec, "/elsewhere/tiny"))
    configuration = body.pop("generation_config", None)
    assert body == {**body_of(request), "model": "/elsewhere/tiny"}
    assert configuration == ('{"do_sample":true}' if configured else None)


def test_an_engine_that_knows_only_the_older_name_of_the_bound_gets_it_too() -> None:
    body = parsed(max_completion_tokens=9)[1]
    assert (body["max_tokens"], body["max_completion_tokens"]) == (9, 9)


LIMIT = AnswerDefaults(max_tokens=None)
MODELS_OWN = AnswerDefaults(temperature=None, top_p=None)
RESPONSES = "/v1/responses"


@pytest.mark.covers("max_tokens, not stated", "temperature with transformers")
@pytest.mark.parametrize(
    ("defaults", "spec", "fields", "sent"),
    [
        (LIMIT, LLAMACPP, {}, {"temperature": 0.7, "top_p": 1.0, "max_tokens": None}),
        (LIMIT, LLAMACPP, {"max_tokens": None}, {"temperature": 0.7, "top_p": 1.0, "max_tokens": None}),
        (LIMIT, LLAMACPP, {"max_tokens": 9}, {"temperature": 0.7, "top_p": 1.0, "max_tokens": 9}),
        (
            LIMIT,
            LLAMACPP,
            {"max_completion_tokens": 9},
            {"temperature": 0.7, "top_p": 1.0, "max_tokens": 9, "max_completion_tokens": 9},
        ),
        *(
            (MODELS_OWN, LLAMACPP, {**unlimited, "max_completion_tokens": -1}, {"max_tokens": None})
            for unlimited in ({}, {"max_tokens": -1})
        ),
        (MODELS_OWN, LLAMACPP, {}, {"max_tokens": 512}),
        (MODELS_OWN, LLAMACPP, {"temperature": 0.2}, {"temperature": 0.2, "max_tokens": 512}),
        (MODELS_OWN, TRANSFORMERS, {}, {"max_tokens": 512}),
        (
            MODELS_OWN,
            TRANSFORMERS,
            {"temperature": 0.2},
            {"temperature": 0.2, "max_tokens": 512, "generation_config": '{"do_sample":true}'},
        ),
    ],
)
def test_an_administrator_sets_the_defaults(
    defaults: AnswerDefaults, spec: ModelDeploymentSpec, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    raw = orjson.dumps({"model": "tiny", "messages": MESSAGES, "stream": True, **fields})
    request = RequestParser({}, defaults=defaults).parse(raw, INFERENCE_PATHS[CHAT])
    body = orjson.loads(request.body_for(spec, "tiny"))
    assert body == {"model": "tiny", "messages": MESSAGES, "stream": True, **sent}


@pytest.mark.parametrize(
    ("window", "prompt", "tokens"),
    [(4096, 4000, 3050), (None, 4000, 7146), (4096, 40_000, 512)],
    ids=["what is left", "a window that is not known", "never less than the smallest answer"],
)
def test_an_engine_that_does_not_stop_at_its_window_is_told_where(window: int | None, prompt: int, tokens: int) -> None:
    raw = orjson.dumps({"model": "tiny", "input": "x" * prompt})
    request = RequestParser({}, defaults=LIMIT).parse(raw, INFERENCE_PATHS[RESPONSES])
    sent = orjson.loads(request.body_for(TRANSFORMERS, "tiny", window))["max_output_tokens"]
    assert abs(sent - tokens) < 50


@pytest.mark.parametrize(("model", "limit"), [("thinker", None), ("tiny", 512)])
def test_thoughts_do_not_use_up_a_limit_that_nobody_has_stated(model: str, limit: int | None) -> None:
    raw = orjson.dumps({"model": model, "messages": MESSAGES})
    parser = RequestParser({}, abilities=lambda path: Abilities("chat", thinking=path == "/models/thinker"))
    request = parser.parse(raw, INFERENCE_PATHS[CHAT])
    assert orjson.loads(request.body_for(LLAMACPP, model))["max_tokens"] == limit


def test_thoughts_of_the_default_model_have_no_limit_either() -> None:
    raw = orjson.dumps({"model": "unknown", "messages": MESSAGES})
    known = {"/models/thinker": Abilities("chat", thinking=True)}
    parser = RequestParser({}, aliases=Aliases({}, "thinker"), abilities=known.get)
    request = parser.parse(raw, INFERENCE_PATHS[CHAT])
    assert orjson.loads(request.body_for(LLAMACPP, "thinker"))["max_tokens"] is None


WHOLE = {"stream": False}
"""What the engine gets where no stream is asked for: some engines stream by default on some paths."""

OWN = {
    "backend": "vllm",
    "device": "cuda",
    "ttl": 60,
    "gpu_memory_utilization": 0.5,
    "max_model_len": 512,
}


@pytest.mark.covers("unsafe fields of the engines")
@pytest.mark.parametrize("fields", [OWN, {"n_ctx": 512, "n_gpu_layers": 0}, *({field: "x"} for field in ALL_UNSAFE)])
def test_the_engine_does_not_get_berths_fields_nor_unsafe_ones(fields: dict[str, Any]) -> None:
    assert not fields.keys() & parsed(**fields)[1].keys()


def test_template_arguments_pass_but_for_those_that_are_not_the_templates() -> None:
    arguments = {"enable_thinking": False, **dict.fromkeys(UNSAFE_TEMPLATE_ARGUMENTS, "x")}
    assert parsed(chat_template_kwargs=arguments)[1]["chat_template_kwargs"] == {"enable_thinking": False}


def test_every_own_field_is_taken_off() -> None:
    assert BerthFields.model_fields.keys() - {"model"} == {*OWN, "n_ctx", "n_gpu_layers"}


@pytest.mark.covers("/v1/embeddings", "max_tokens")
@pytest.mark.parametrize(
    ("path", "fields", "adds"),
    [
        ("/v1/completions", {"prompt": "Once"}, {**WHOLE, "temperature": 0.7, "top_p": 1.0, "max_tokens": 512}),
        ("/v1/completions", {"prompt": "Once", "max_tokens": 0}, {**WHOLE, "temperature": 0.7, "top_p": 1.0}),
        ("/v1/completions", {"prompt": ["a", "b"], "max_tokens": 3}, {**WHOLE, "temperature": 0.7, "top_p": 1.0}),
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}, WHOLE),
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5, "stream": True}, {}),
        ("/v1/embeddings", {"input": ["a", "b"]}, {}),
        ("/tokenize", {"prompt": "hello"}, {"content": "hello"}),
        ("/tokenize", {"content": "hello"}, {"prompt": "hello"}),
    ],
)
def test_each_path_gets_the_defaults_that_it_knows(path: str, fields: dict[str, Any], adds: dict[str, Any]) -> None:
    request = requested(path, **fields)
    assert body_of(request) == {"model": "/models/tiny", **fields, **adds}
    assert request.ask.path == path


def test_a_request_that_waits_is_kept_as_bytes() -> None:
    """Taken apart, each of these small objects takes thirty times its bytes."""
    tracemalloc.start()
    request = requested(documents=[{"": 1}] * 100_000)
    kept = sum(each.count for each in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert body_of(request)["documents"][-1] == {"": 1}
    assert kept < 10_000
