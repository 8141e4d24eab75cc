"""What a request body asks of Berth."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from berth_api.engine_settings import LlamaCppSettings, VllmSettings
from berth_api.model_deployment import Backend, Device
from berth_router.errors import InvalidRequestError
from berth_router.request.ask import Ask, RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.request.fields import BerthFields
from berth_router.request.profiles import Profile
from tests.unit.router.asking import CHAT, PARSER, parsed, requested


@pytest.mark.parametrize(
    ("fields", "ask"),
    [
        ({}, Ask("/models/tiny")),
        ({"model": "tiny"}, Ask("/models/tiny")),
        ({"model": "org/tiny"}, Ask("/models/org/tiny")),
        ({"model": "/models/tiny/"}, Ask("/models/tiny")),
        ({"backend": "vllm", "device": "cuda"}, Ask("/models/tiny", Backend.VLLM, Device.CUDA)),
        ({"backend": None, "n_ctx": None, "ttl": None, "stream": None}, Ask("/models/tiny")),
        ({"ttl": 0}, Ask("/models/tiny", ttl=0)),
        ({"n_ctx": 4096}, Ask("/models/tiny", Backend.LLAMACPP, context_size=4096)),
        ({"n_gpu_layers": -1, "backend": "llamacpp"}, Ask("/models/tiny", Backend.LLAMACPP, gpu_layers=-1)),
        ({"n_ctx": 512, "n_gpu_layers": 3}, Ask("/models/tiny", Backend.LLAMACPP, context_size=512, gpu_layers=3)),
        ({"max_model_len": 4096}, Ask("/models/tiny", Backend.VLLM, max_model_len=4096)),
        ({"gpu_memory_utilization": 0.5}, Ask("/models/tiny", Backend.VLLM, gpu_memory_utilization=0.5)),
        (
            {"gpu_memory_utilization": 1, "backend": "vllm"},
            Ask("/models/tiny", Backend.VLLM, gpu_memory_utilization=1.0),
        ),
        ({"stream": True}, Ask("/models/tiny", stream=True)),
        ({"model": "tiny@long"}, Ask("/models/tiny", Backend.LLAMACPP, context_size=32768)),
        ({"model": "/models/tiny@long", "n_ctx": 4096}, Ask("/models/tiny", Backend.LLAMACPP, context_size=4096)),
        (
            {"model": "tiny@long", "device": "cuda"},
            Ask("/models/tiny", Backend.LLAMACPP, Device.CUDA, context_size=32768),
        ),
        (
            {"model": "tiny@fast", "max_model_len": 1024},
            Ask("/models/tiny", Backend.VLLM, Device.CUDA, gpu_memory_utilization=0.9, max_model_len=1024),
        ),
    ],
)
def test_what_is_stated_is_kept_and_nothing_else(fields: dict[str, Any], ask: Ask) -> None:
    assert parsed(**fields)[0] == ask


@pytest.mark.covers("a setting of another engine", "any of these out of its bounds")
@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"model": "/etc/passwd"}, "model", "must be a path in the model store"),
        ({"model": "../secrets"}, "model", "must be a path in the model store"),
        ({"model": "/models/.hidden"}, "model", "must be a path in the model store"),
        ({"model": "tiny\n"}, "model", "must be a path in the model store"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"model": 3}, "model", "string"),
        ({"backend": "ollama"}, "backend", "'vllm', 'transformers' or 'llamacpp'"),
        ({"device": "tpu"}, "device", "'cuda' or 'cpu'"),
        ({"ttl": -1}, "ttl", "greater than or equal to 0"),
        ({"ttl": 1.5}, "ttl", "integer"),
        ({"ttl": "60"}, "ttl", "integer"),
        ({"n_ctx": 255}, "n_ctx", "greater than or equal to 256"),
        ({"n_ctx": True}, "n_ctx", "integer"),
        ({"n_ctx": "lots"}, "n_ctx", "a whole number or 'auto'"),
        ({"n_gpu_layers": -2}, "n_gpu_layers", "greater than or equal to -1"),
        ({"gpu_memory_utilization": 0.05}, "gpu_memory_utilization", "greater than or equal to 0.1"),
        ({"gpu_memory_utilization": 1.1}, "gpu_memory_utilization", "less than or equal to 1"),
        ({"gpu_memory_utilization": True}, "gpu_memory_utilization", "number"),
        ({"max_model_len": 255}, "max_model_len", "greater than or equal to 256"),
        ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"top_p": 1.1}, "top_p", "less than or equal to 1"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": -2}, "max_tokens", "greater than or equal to -1"),
        ({"max_tokens": 1.5}, "max_tokens", "integer"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "greater than or equal to 1"),
        ({"n_ctx": 512, "backend": "vllm"}, "n_ctx", "backend llamacpp"),
        ({"max_model_len": 512, "backend": "llamacpp"}, "max_model_len", "setting of backend vllm"),
        (
            {"gpu_memory_utilization": 0.5, "backend": "transformers"},
            "gpu_memory_utilization",
            "setting of backend vllm",
        ),
        ({"n_ctx": 512, "max_model_len": 512}, "max_model_len", "`n_ctx`, a setting of backend llamacpp"),
        ({"model": "tiny@slow"}, "model", "It has fast, long"),
        ({"model": "tiny@"}, "model", "It has fast, long"),
        ({"model": "@fast"}, "model", "must be a path in the model store"),
        ({"model": "tiny@fast", "n_ctx": 512}, "n_ctx", "The profile fast states backend, device"),
        (
            {"model": "tiny@long", "backend": "vllm"},
            "n_ctx",
            "leave it out with backend vllm. The profile long states n_ctx",
        ),
        ({"n_gpu_layers": 1, "backend": "transformers"}, "n_gpu_layers", "backend llamacpp"),
        ({"n_gpu_layers": -1, "device": "cpu"}, "n_gpu_layers", "only with device cuda"),
        ({"stream": "yes"}, "stream", "boolean"),
        ({"messages": "hello"}, "messages", "must be a list"),
        ({"messages": None}, "messages", "must be a list"),
    ],
)
def test_a_wrong_field_is_named_with_what_would_be_right(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"`{param}`") as raised:
        parsed(**fields)
    assert raised.value.param == param
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("ttl", "says"),
    [
        (b"9" * 20, "less than or equal to 31536000; got '99999999999999999999'"),
        (b"-" + b"9" * 20, "greater than or equal to 0; got '-99999999999999999999'"),
        (b"9" * 300, f"got '{'9' * 100}'"),
        (b"[" * 900 + b"]" * 900, "integer"),
    ],
)
def test_a_number_that_is_too_large_is_shown_as_it_was_written(ttl: bytes, says: str) -> None:
    with pytest.raises(InvalidRequestError, match="`ttl`") as raised:
        PARSER.parse(b'{"model": "tiny", "messages": [], "ttl": %b}' % ttl, INFERENCE_PATHS[CHAT])
    assert says in raised.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        PARSER.parse(body, INFERENCE_PATHS[CHAT])
    assert raised.value.code == "invalid_json"


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="`model` is missing"):
        PARSER.parse(b'{"messages": []}', INFERENCE_PATHS[CHAT])


def test_the_name_that_was_asked_for_is_kept_for_the_answer() -> None:
    assert requested(model="tiny@fast").name == "tiny@fast"


@pytest.mark.parametrize(
    ("field", "block", "setting"),
    [
        ("n_gpu_layers", LlamaCppSettings, "gpu_layers"),
        ("gpu_memory_utilization", VllmSettings, "gpu_memory_utilization"),
        ("max_model_len", VllmSettings, "max_model_len"),
    ],
)
def test_the_bounds_are_those_of_the_resource(field: str, block: Any, setting: str) -> None:
    assert BerthFields.model_fields[field].metadata[-2:] == block.model_fields[setting].metadata
    assert Profile.model_fields[field].metadata == block.model_fields[setting].metadata


@pytest.mark.parametrize("size", ["auto", 256, 1_048_576, None])
def test_a_context_is_a_number_or_auto(size: int | str | None) -> None:
    assert parsed(n_ctx=size)[0].context_size == size
    assert Profile.model_validate({"n_ctx": size}).n_ctx == size
    settings = LlamaCppSettings.model_validate({"contextSize": size})
    assert settings.manifest() == ({} if size is None else {"contextSize": size})


@pytest.mark.parametrize("size", ["some", 255, 1_048_577, "4096"])
def test_no_other_context_is_taken_anywhere(size: int | str) -> None:
    for schema, name in ((Profile, "n_ctx"), (LlamaCppSettings, "contextSize"), (BerthFields, "n_ctx")):
        with pytest.raises(ValidationError) as refused:
            schema.model_validate({"model": "tiny", name: size} if schema is BerthFields else {name: size})
        assert [error["loc"] for error in refused.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("path", "fields", "param", "says"),
    [
        ("/v1/completions", {}, "prompt", "must be a string or a list"),
        ("/v1/completions", {"prompt": 3}, "prompt", "must be a string or a list"),
        ("/v1/embeddings", {"input": None}, "input", "must be a string or a list"),
        ("/v1/messages", {"messages": "x", "max_tokens": 5}, "messages", "must be a list"),
        ("/v1/messages", {"messages": []}, "max_tokens", "is missing"),
        ("/v1/messages", {"messages": [], "max_tokens": 0}, "max_tokens", "greater than or equal to 1;"),
        ("/v1/messages", {"messages": [], "max_tokens": -1}, "max_tokens", "greater than or equal to 1;"),
        ("/tokenize", {}, "prompt", "or send `content`, or send `messages`"),
    ],
)
def test_each_path_says_what_it_needs(path: str, fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        requested(path, **fields)
    assert raised.value.param == param
    assert says in raised.value.message


def test_only_a_path_that_streams_is_streamed() -> None:
    assert requested("/v1/completions", prompt="x", stream=True).ask.stream
    assert not requested("/v1/embeddings", input="x", stream=True).ask.stream


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n_ctx": 512, "max_model_len": 512}, "max_model_len is a setting of vllm"),
        ({"backend": "vllm", "n_ctx": 512}, "n_ctx is a setting of llamacpp"),
        ({"device": "cpu", "n_gpu_layers": -1}, "n_gpu_layers: layers can be on a GPU only with device cuda"),
        ({"contxt": 3}, r"contxt\n.*not permitted"),
        ({"gpu_memory_utilization": 2}, r"gpu_memory_utilization\n.*less than or equal to 1"),
    ],
)
def test_a_profile_that_could_not_be_served_is_refused_when_it_is_set(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Profile.model_validate(settings)


@pytest.mark.covers("ttl")
@pytest.mark.parametrize(("stated", "counted"), [(None, None), (5, 5), (60, 60), (61, 60), (0, 60)])
def test_no_request_keeps_a_model_for_longer_than_the_administrator_allows(
    stated: int | None, counted: int | None
) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    body = orjson.dumps({"model": "tiny", "messages": messages, **({} if stated is None else {"ttl": stated})})
    endpoint = INFERENCE_PATHS["/v1/chat/completions"]
    assert RequestParser({}, max_ttl=60).parse(body, endpoint).ask.ttl == counted
    assert RequestParser({}).parse(body, endpoint).ask.ttl == stated
