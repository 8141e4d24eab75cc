"""POST /api/generate: a chat of one message, a bare text, or what is between two texts."""

import base64
from typing import Any

import pytest

from berth_router.ollama.calls import Call, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.errors import OllamaError
from berth_router.ollama.generate import generate_call
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SCHEMA = {"type": "object"}


def generate(**fields: Any) -> Call:
    return generate_call({"model": "llama", "prompt": "Hello", **fields})


CHATS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"messages": [{"role": "user", "content": "Hello"}]}),
    (
        {"system": "Be brief."},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]},
    ),
    (
        {"images": [PNG]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Hello"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    ],
                }
            ]
        },
    ),
    (
        {"format": "json", "think": False},
        {
            "messages": [{"role": "user", "content": "Hello"}],
            "response_format": {"type": "json_object"},
            "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
        },
    ),
    ({"suffix": "", "context": [], "template": "", "raw": False}, {"messages": [{"role": "user", "content": "Hello"}]}),
]

TEXTS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"raw": True}, "/v1/completions", {"prompt": "Hello"}),
    ({"raw": True, "think": True}, "/v1/completions", {"prompt": "Hello"}),
    (
        {"raw": True, "format": SCHEMA},
        "/v1/completions",
        {
            "prompt": "Hello",
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
            "json_schema": SCHEMA,
        },
    ),
    ({"suffix": "}"}, "/infill", {"input_prefix": "Hello", "input_suffix": "}"}),
]

STREAMED = {"model": "llama", "max_tokens": None, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(("stated", "asked"), CHATS)
def test_a_prompt_is_a_chat(stated: dict[str, Any], asked: dict[str, Any]) -> None:
    call = generate(**stated)
    assert isinstance(call, InferenceCall)
    assert call.path == "/v1/chat/completions"
    assert call.body == STREAMED | asked


@pytest.mark.parametrize(("stated", "path", "asked"), TEXTS)
def test_a_bare_text_is_continued(stated: dict[str, Any], path: str, asked: dict[str, Any]) -> None:
    call = generate(**stated)
    assert isinstance(call, InferenceCall)
    assert call.path == path
    assert call.body == STREAMED | asked


def test_options_go_with_every_kind() -> None:
    for stated in ({}, {"raw": True}, {"suffix": "}"}):
        call = generate(options={"num_predict": 5, "stop": ["x"]}, stream=False, ttl=60, **stated)
        assert isinstance(call, InferenceCall)
        assert {"max_tokens": 5, "stop": ["x"], "stream": False, "ttl": 60}.items() <= call.body.items()


@pytest.mark.parametrize("stated", [*(stated for stated, _ in CHATS), *(stated for stated, *_ in TEXTS)])
def test_the_router_takes_every_body(stated: dict[str, Any]) -> None:
    call = generate(**stated)
    assert isinstance(call, InferenceCall)
    assert RequestParser({}).parse(call.content(), INFERENCE_PATHS[call.path]).ask.model == "/models/llama"


@pytest.mark.parametrize("prompt", ["", None])
def test_without_a_prompt_the_model_is_loaded_or_unloaded(prompt: Any) -> None:
    assert isinstance(generate(prompt=prompt), LoadCall)
    assert isinstance(generate(prompt=prompt, keep_alive=0), UnloadCall)


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"prompt": 1}, "prompt"),
        ({"context": [1, 2]}, "context"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"raw": True, "system": "a"}, "system"),
        ({"raw": True, "images": [PNG]}, "images"),
        ({"suffix": "}", "images": [PNG]}, "images"),
        ({"raw": True, "logprobs": True}, "logprobs"),
        ({"images": ["!"]}, "images[0]"),
        ({"format": "xml"}, "format"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(OllamaError) as refused:
        generate(**stated)
    assert (refused.value.status, refused.value.param) == (400, field)
