"""What a request body asks of Berth, and what is left of it for the engine."""

from typing import Any

import orjson
import pytest

from berth_api.model_deployment import Backend, Device
from berth_router.ask import ENGINE_UNSAFE_FIELDS, Ask, parse_ask
from berth_router.errors import InvalidRequestError

MESSAGES = [{"role": "user", "content": "hello"}]


def parsed(**fields: Any) -> tuple[Ask, dict[str, Any]]:
    ask, body = parse_ask(orjson.dumps({"model": "/models/tiny", "messages": MESSAGES, **fields}), required_list="messages")
    return ask, orjson.loads(body)


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
        ({"stream": True}, Ask("/models/tiny", stream=True)),
    ],
)
def test_what_is_stated_is_kept_and_nothing_else(fields: dict[str, Any], ask: Ask) -> None:
    assert parsed(**fields)[0] == ask


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
        ({"n_gpu_layers": -2}, "n_gpu_layers", "greater than or equal to -1"),
        ({"n_ctx": 512, "backend": "vllm"}, "n_ctx", "backend llamacpp"),
        ({"n_gpu_layers": 1, "backend": "transformers"}, "n_gpu_layers", "backend llamacpp"),
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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse_ask(body, required_list="messages")
    assert raised.value.code == "invalid_json"


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="`model` is missing"):
        parse_ask(b'{"messages": []}', required_list="messages")


def test_the_engine_gets_the_sampling_defaults_where_nothing_is_stated() -> None:
    assert parsed()[1] == {
        "model": "/models/tiny",
        "messages": MESSAGES,
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 512,
    }


def test_the_engine_gets_what_is_stated_as_it_is() -> None:
    stated: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.5,
        "max_completion_tokens": 9,
        "tools": [],
        "stream": True,
        "chat_template_kwargs": {},
    }
    assert parsed(**stated)[1] == {"model": "/models/tiny", "messages": MESSAGES, **stated}


@pytest.mark.parametrize("field", ["backend", "device", "ttl", "n_ctx", "n_gpu_layers", *ENGINE_UNSAFE_FIELDS])
def test_the_engine_does_not_get_berths_fields_nor_unsafe_ones(field: str) -> None:
    values = {"backend": "llamacpp", "device": "cpu", "ttl": 60, "n_ctx": 512, "n_gpu_layers": 0}
    assert field not in parsed(**{field: values.get(field, "x")})[1]
