"""POST /api/chat, as chat completions."""

import base64
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from berth_router.ollama.calls import Call, EngineWishes, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.chat import chat_call
from berth_router.ollama.errors import OllamaError
from berth_router.ollama.requests import BERTH_FIELDS
from berth_router.ollama.sampling import BEYOND_OPENAI
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


def chat(**fields: Any) -> Call:
    return chat_call({"model": "llama", "messages": HELLO, **fields})


def chat_body(**fields: Any) -> dict[str, Any]:
    call = chat(**fields)
    assert isinstance(call, InferenceCall)
    return call.body


def test_a_bare_chat_streams_without_a_limit() -> None:
    call = chat(model="llama:latest")
    assert isinstance(call, InferenceCall)
    assert call.path == "/v1/chat/completions"
    assert call.streams
    assert not call.unloads
    assert call.target.name == "llama:latest"
    assert call.body == {
        "model": "llama",
        "messages": HELLO,
        "max_tokens": None,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_chat_that_does_not_stream() -> None:
    call = chat(stream=False)
    assert isinstance(call, InferenceCall)
    assert not call.streams
    assert call.body["stream"] is False
    assert "stream_options" not in call.body


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"options": {"num_predict": 100}}, {"max_tokens": 100}),
    ({"options": {"num_predict": -1}}, {"max_tokens": None}),
    ({"options": {"num_predict": -2}}, {"max_tokens": None}),
    ({"options": {"num_predict": 64.0}}, {"max_tokens": 64}),
    ({"options": {"temperature": 0, "top_p": 0.5, "top_k": 20}}, {"temperature": 0, "top_p": 0.5, "top_k": 20}),
    ({"options": {"min_p": 0.1, "typical_p": 1}}, {"min_p": 0.1, "typical_p": 1}),
    ({"options": {"repeat_penalty": 1.1}}, {"repeat_penalty": 1.1, "repetition_penalty": 1.1}),
    ({"options": {"presence_penalty": 1, "frequency_penalty": 2}}, {"presence_penalty": 1, "frequency_penalty": 2}),
    ({"options": {"seed": 7, "stop": ["a", "b"]}}, {"seed": 7, "stop": ["a", "b"]}),
    ({"options": {"seed": -1, "stop": "a"}}, {"stop": ["a"]}),
    ({"options": {"stop": []}}, {}),
    ({"options": {"num_thread": 4, "use_mmap": True, "num_batch": 1, "mirostat": 2, "unknown": {}}}, {}),
    ({"options": {"num_ctx": 8192, "num_gpu": 99}}, {}),
    ({"options": None, "tools": None, "format": None, "think": None, "keep_alive": None, "stream": None}, {}),
    ({"format": "json"}, {"response_format": {"type": "json_object"}}),
    ({"format": ""}, {}),
    (
        {"format": {"type": "object", "required": ["age"]}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object", "required": ["age"]}},
            }
        },
    ),
    ({"think": True}, {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
    ({"think": False}, {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
    (
        {"think": "low"},
        {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}, "reasoning_effort": "low"},
    ),
    (
        {"think": "max"},
        {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}, "reasoning_effort": "high"},
    ),
    ({"keep_alive": "5m"}, {"ttl": 300}),
    ({"keep_alive": -1}, {"ttl": 0}),
    ({"keep_alive": "5m", "ttl": 60}, {"ttl": 60}),
    ({"backend": "llamacpp", "device": "cpu", "n_ctx": 4096}, {"backend": "llamacpp", "device": "cpu", "n_ctx": 4096}),
    ({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    ({"top_logprobs": 3}, {}),
    (
        {"tools": [{"function": {"name": "time", "parameters": {"type": "object"}}}]},
        {"tools": [{"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}]},
    ),
    ({"tools": []}, {}),
    ({"truncate": True, "shift": False, "template": "ignored, as Ollama does"}, {}),
]


@pytest.mark.parametrize(("stated", "added"), FIELDS)
def test_fields_become_those_of_chat_completions(stated: dict[str, Any], added: dict[str, Any]) -> None:
    assert chat_body(**stated) == chat_body() | added


@pytest.mark.parametrize("stated", [stated for stated, _ in FIELDS])
def test_the_router_takes_every_body(stated: dict[str, Any]) -> None:
    call = chat(**stated)
    assert isinstance(call, InferenceCall)
    request = RequestParser({}).parse(call.content(), INFERENCE_PATHS[call.path])
    assert request.ask.model == "/models/llama"


@pytest.mark.parametrize("stated", [stated for stated, _ in FIELDS])
def test_every_field_is_of_openais_api_or_known_not_to_be(stated: dict[str, Any]) -> None:
    of_openai = CompletionCreateParamsStreaming.__required_keys__ | CompletionCreateParamsStreaming.__optional_keys__
    assert not BEYOND_OPENAI & of_openai
    assert chat_body(**stated).keys() <= BEYOND_OPENAI | of_openai | set(BERTH_FIELDS)


@pytest.mark.parametrize(
    ("options", "wishes"),
    [
        ({"num_ctx": 8192}, EngineWishes(context_size=8192)),
        ({"num_ctx": 0}, EngineWishes()),
        ({"num_gpu": 20}, EngineWishes(gpu_layers=20)),
        ({"num_gpu": 100_000}, EngineWishes(gpu_layers=999)),
        ({"num_gpu": 0}, EngineWishes(gpu_layers=0)),
        ({"num_gpu": -1}, EngineWishes()),
    ],
)
def test_what_a_client_wishes_of_the_engine_states_nothing(options: dict[str, Any], wishes: EngineWishes) -> None:
    call = chat(options=options)
    assert call.target.wishes == wishes
    assert call.target.fields == {"model": "llama"}


MESSAGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"role": "User", "content": "a"}, {"role": "user", "content": "a"}),
    ({"role": "assistant"}, {"role": "assistant", "content": ""}),
    (
        {"role": "assistant", "content": "a", "thinking": "b"},
        {"role": "assistant", "content": "a", "reasoning_content": "b"},
    ),
    ({"role": "system", "content": "a", "images": [], "tool_calls": None}, {"role": "system", "content": "a"}),
]


@pytest.mark.parametrize(("sent", "becomes"), MESSAGES)
def test_messages(sent: dict[str, Any], becomes: dict[str, Any]) -> None:
    assert chat_body(messages=[sent])["messages"] == [becomes]


IMAGES = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"GIF89a", "image/gif"),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"BM\x10\x00", "image/bmp"),
]


@pytest.mark.parametrize(("content", "media_type"), IMAGES)
def test_an_image_says_by_its_bytes_what_it_is(content: bytes, media_type: str) -> None:
    encoded = base64.b64encode(content).decode()
    url = f"data:{media_type};base64,{encoded}"
    for sent in (encoded, f"data:image/png;base64,{encoded}", f"{encoded[:4]}\n{encoded[4:]}"):
        messages = chat_body(messages=[{"role": "user", "content": "What is it?", "images": [sent]}])["messages"]
        assert messages == [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": url}},
                ],
            }
        ]


def test_a_sound_goes_as_one() -> None:
    encoded = base64.b64encode(b"RIFF\x10\x00\x00\x00WAVEfmt ").decode()
    messages = chat_body(messages=[{"role": "user", "images": [encoded]}])["messages"]
    assert messages[0]["content"] == [{"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}}]


def called(*names: str, **fields: Any) -> dict[str, Any]:
    calls: list[dict[str, Any]] = [{"function": {"name": name, "arguments": {}}, **fields} for name in names]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def result(**fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "ok", **fields}


CONVERSATIONS: list[tuple[list[dict[str, Any]], list[list[str]]]] = [
    # by order
    ([called("a", "b"), result(), result()], [["call00001", "call00002"], ["call00001"], ["call00002"]]),
    # by the tool's name
    (
        [called("a", "b"), result(tool_name="b"), result(tool_name="a")],
        [["call00001", "call00002"], ["call00002"], ["call00001"]],
    ),
    # the client's ids, on both sides
    ([called("a", id="x"), result(tool_call_id="x")], [["x"], ["x"]]),
    # an id of the result alone
    ([called("a", "b"), result(tool_call_id="x"), result(tool_call_id="y")], [["x", "y"], ["x"], ["y"]]),
    # an id of the call alone
    ([called("a", id="x"), result()], [["x"], ["x"]]),
    # the ids of earlier turns do not change
    (
        [called("a"), result(), called("a"), result(tool_name="a")],
        [["call00001"], ["call00001"], ["call00002"], ["call00002"]],
    ),
    # more results than calls, and none at all
    ([called("a"), result(), result()], [["call00001"], ["call00001"], ["call00002"]]),
    ([result(tool_call_id="x")], [["x"]]),
    # a call that nobody answered
    ([called("a", "b"), result(tool_name="b")], [["call00001", "call00002"], ["call00002"]]),
]


@pytest.mark.parametrize(("messages", "ids"), CONVERSATIONS)
def test_results_belong_to_calls(messages: list[dict[str, Any]], ids: list[list[str]]) -> None:
    sent = chat_body(messages=[*messages, *HELLO])["messages"][:-1]
    assert [
        [call["id"] for call in message["tool_calls"]] if "tool_calls" in message else [message["tool_call_id"]]
        for message in sent
    ] == ids


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"city": "Ulm"}, '{"city":"Ulm"}'), ('{"city": "Ulm"}', '{"city": "Ulm"}'), (None, "{}"), ("", "{}"), ({}, "{}")],
)
def test_arguments_are_an_object_or_its_text(arguments: Any, text: str) -> None:
    calls = [{"function": {"name": "weather", "arguments": arguments}}]
    message = chat_body(messages=[{"role": "assistant", "tool_calls": calls}])["messages"][0]
    assert message["tool_calls"] == [
        {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": text}}
    ]


@pytest.mark.parametrize("messages", [[], None])
def test_without_messages_the_model_is_loaded_or_unloaded(messages: Any) -> None:
    load = chat(messages=messages, keep_alive="10m")
    assert isinstance(load, LoadCall)
    assert load.target.fields == {"model": "llama", "ttl": 600}
    assert isinstance(chat(messages=messages, keep_alive=0), UnloadCall)


def test_keep_alive_0_with_messages_unloads_after_the_answer() -> None:
    call = chat(keep_alive=0)
    assert isinstance(call, InferenceCall)
    assert call.unloads
    assert "ttl" not in call.body


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"messages": "Hello"}, "messages"),
    ({"messages": [{"content": "a"}]}, "messages[0].role"),
    ({"messages": [*HELLO, {"role": "robot"}]}, "messages[1].role"),
    ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "images": ["!"]}]}, "messages[0].images[0]"),
    ({"messages": [{"role": "user", "images": ["é"]}]}, "messages[0].images[0]"),
    ({"messages": [{"role": "user", "images": ["aGVsbG8="]}]}, "messages[0].images[0]"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "[]"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"tools": [{"function": {}}]}, "tools[0].function"),
    ({"tools": {}}, "tools"),
    ({"stream": "yes"}, "stream"),
    ({"format": "xml"}, "format"),
    ({"format": 1}, "format"),
    ({"think": "hard"}, "think"),
    ({"think": 1}, "think"),
    ({"keep_alive": "soon"}, "keep_alive"),
    ({"options": {"temperature": "hot"}}, "options.temperature"),
    ({"options": {"num_ctx": 1.5}}, "options.num_ctx"),
    ({"options": {"num_ctx": True}}, "options.num_ctx"),
    ({"options": {"stop": [1]}}, "options.stop[0]"),
    ({"options": []}, "options"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
]


@pytest.mark.parametrize(("stated", "field"), REFUSED)
def test_a_wrong_field_is_named(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(OllamaError) as refused:
        chat(**stated)
    assert refused.value.status == 400
    assert refused.value.param == field
    assert f"`{field}`" in refused.value.message


@pytest.mark.parametrize("body", [None, [], "a", 1, {}])
def test_a_body_that_is_no_chat_is_refused(body: Any) -> None:
    with pytest.raises(OllamaError):
        chat_call(body)
