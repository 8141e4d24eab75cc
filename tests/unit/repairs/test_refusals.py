"""What clients of each API get of what engines refuse: in the engines' own words, as they were read from them."""

from typing import Any

import orjson
import pytest

from berth_api.inference import (
    CHAT_COMPLETIONS,
    COMPLETIONS,
    DETOKENIZE,
    EMBEDDINGS,
    INFILL,
    MESSAGES,
    RERANK,
    RESPONSES,
)
from berth_api.model_deployment import Backend
from berth_router.errors import Dialect
from berth_router.repairs.refusals import REFUSALS, callers_fault, context_advice
from berth_router.serving.refusals import engine_refusal
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM

IMPOSSIBLE = ", try increasing it"
"""What llama.cpp advises of a context, which only Berth can make larger."""

LONG = f"request (3031 tokens) exceeds the available context size (2048 tokens){IMPOSSIBLE}"
LONG_INPUT = "input (2100 tokens) is too large to process. increase the physical batch size (current batch size: 2048)"
LLAMACPP_LONG: dict[str, Any] = {
    "error": {
        "code": 400,
        "message": LONG,
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 3031,
        "n_ctx": 2048,
    }
}
SAID = [
    (
        "unforced-token",
        LLAMACPP,
        COMPLETIONS,
        "got exception: Unexpected empty grammar stack after accepting piece: . (30)",
        "prompt",
    ),
    (
        "too-many-tokens",
        VLLM,
        CHAT_COMPLETIONS,
        "'max_tokens' or 'max_completion_tokens' is too large: 5.",
        "max_tokens",
    ),
    (
        "no-tool-parser",
        VLLM,
        CHAT_COMPLETIONS,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "tool_choice",
    ),
    ("no-tool-parser", VLLM, MESSAGES, 'tool_choice="required" requires --tool-call-parser to be set', "tool_choice"),
    ("no-such-field", TRANSFORMERS, CHAT_COMPLETIONS, "Unexpected fields in the request: {'top_k', 'min_p'}", "top_k"),
    ("input-too-long", LLAMACPP, EMBEDDINGS, LONG_INPUT, "input"),
    ("too-long", LLAMACPP, CHAT_COMPLETIONS, LONG, "messages"),
    (
        "no-content",
        LLAMACPP,
        CHAT_COMPLETIONS,
        "Assistant message must contain either 'content' or 'tool_calls'!",
        "messages",
    ),
    ("too-long", LLAMACPP, COMPLETIONS, LONG, "prompt"),
    ("too-long", VLLM, RESPONSES, "This model's maximum context length is 16 tokens. However, you", "input"),
    ("too-long", VLLM, MESSAGES, "The prompt (length 20) is longer than the maximum model length of 16", "messages"),
    ("no-sight", LLAMACPP, MESSAGES, "image input is not supported - hint: provide the mmproj", "messages"),
    ("no-image", LLAMACPP, CHAT_COMPLETIONS, "Failed to load image or audio file", "messages"),
    ("schema", LLAMACPP, CHAT_COMPLETIONS, "JSON schema error at #: unrecognized type foo", "response_format"),
    ("grammar", LLAMACPP, COMPLETIONS, "Failed to initialize samplers: failed to parse grammar", "grammar"),
    ("tools", LLAMACPP, CHAT_COMPLETIONS, "Failed to parse tools: Missing tool type: {}; tools = []", "tools"),
    ("template", LLAMACPP, CHAT_COMPLETIONS, "Failed to parse messages: [json.exception.type_error.302]", "messages"),
    ("template", LLAMACPP, CHAT_COMPLETIONS, "Jinja Exception: Conversation roles must alternate", "messages"),
    (
        "too-many-answers",
        LLAMACPP,
        CHAT_COMPLETIONS,
        "Field 'n': Value must be between 1 <= value <= 2, but got 9",
        "n",
    ),
    ("field", LLAMACPP, CHAT_COMPLETIONS, "Field 'n_probs': Value must be between 1 <= value", "n_probs"),
    ("field", LLAMACPP, CHAT_COMPLETIONS, "Invalid tool_choice: foo", "tool_choice"),
    ("no-vectors", LLAMACPP, EMBEDDINGS, "Pooling type 'none' is not OAI compatible. Please use a different", "model"),
    ("no-input", LLAMACPP, COMPLETIONS, "Prompt contains invalid tokens", "prompt"),
    ("no-input", LLAMACPP, EMBEDDINGS, "Input content cannot be empty", "input"),
    ("no-input", LLAMACPP, EMBEDDINGS, '"input" must not be empty', "input"),
    ("no-input", LLAMACPP, EMBEDDINGS, '"prompt" elements must be a string, a list of tokens, a JSON', "input"),
    (
        "encoding-format",
        LLAMACPP,
        EMBEDDINGS,
        "The format to return the embeddings in. Can be either float or base64",
        "encoding_format",
    ),
    ("no-order", LLAMACPP, RERANK, "This server does not support reranking. Start it with `--reranking`", "model"),
    ("no-infill", LLAMACPP, INFILL, "Infill is not supported by this model: prefix token is missing. ", "model"),
    ("no-such-path", VLLM, RERANK, "The model does not support Rerank (Score) API", "model"),
    (
        "no-token",
        LLAMACPP,
        DETOKENIZE,
        "vector::_M_range_check: __n (which is 1000000) >= this->size() (which is 49152)",
        "tokens",
    ),
    ("type", LLAMACPP, COMPLETIONS, "[json.exception.type_error.302] type must be number, but is string", "prompt"),
]


def refused(path: str, status: int, content: dict[str, Any], engine: Backend = LLAMACPP) -> Any:
    return engine_refusal(engine, path, status, orjson.dumps(content))


@pytest.mark.covers("an engine's refusal comes in OpenAI's shape")
@pytest.mark.parametrize(("row", "engine", "path", "text", "param"), SAID)
def test_what_is_the_callers_fault_is_400_and_names_the_field(
    row: str, engine: Backend, path: str, text: str, param: str
) -> None:
    (found,) = (each for each in REFUSALS if each.name == row)
    error = refused(path, 500, {"error": {"message": text, "type": "server_error", "code": 500}}, engine)
    assert error.status == 400
    instead = found.instead and found.instead.replace("{most}", "2")
    advice = ""
    if found.name == "too-long":
        advice = f"{'' if text.endswith('.') else '.'} {context_advice(engine, None, None)}"
    in_text = " (context_length_exceeded)" if found.code == "context_length_exceeded" else ""
    assert error.content() == {
        "error": {
            "message": (instead or text.removesuffix(IMPOSSIBLE)) + advice + in_text,
            "type": "invalid_request_error",
            "param": param,
            "code": found.code,
        }
    }


def test_every_row_has_an_example() -> None:
    assert {row for row, *_ in SAID} == {row.name for row in REFUSALS}


@pytest.mark.covers("a prompt that is too long: 400 context_length_exceeded; in /v1/messages, prompt is too long: ...")
def test_a_prompt_that_is_too_long_is_told_in_each_apis_words() -> None:
    error = refused(MESSAGES, 400, LLAMACPP_LONG)
    told = f"{LONG.removesuffix(IMPOSSIBLE)}. {context_advice(LLAMACPP, 2048, None)}"
    openai = error.content(Dialect.OPENAI)["error"]
    assert openai["code"] == "context_length_exceeded"
    assert (openai["param"], openai["n_ctx"]) == ("messages", 2048)
    anthropic = error.content(Dialect.ANTHROPIC)
    assert anthropic["type"] == "error"
    assert anthropic["error"]["type"] == "invalid_request_error"
    assert anthropic["error"]["message"] == f"prompt is too long: 3031 tokens > 2048 maximum. {told}"
    assert error.content(Dialect.OLLAMA) == {"error": told}


@pytest.mark.parametrize(
    ("engine", "made_for", "advice"),
    [
        (LLAMACPP, 8192, "ask for a larger context by `n_ctx`, up to 8192, which the model was made for."),
        (LLAMACPP, None, "by `n_ctx`, up to what the model was made for."),
        (VLLM, 8192, "by `max_model_len`, up to 8192"),
        (LLAMACPP, 2048, "Send a shorter prompt: the model, which was made for 2048 tokens, has no larger context."),
        (TRANSFORMERS, None, "Send a shorter prompt."),
    ],
)
def test_a_prompt_that_is_too_long_hears_what_is_possible(engine: Backend, made_for: int | None, advice: str) -> None:
    sent = orjson.dumps(LLAMACPP_LONG)
    assert advice in engine_refusal(engine, CHAT_COMPLETIONS, 400, sent, lambda: made_for).message


def test_who_asks_vllm_for_tools_hears_what_to_set_in_berth() -> None:
    text = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    for dialect in Dialect:
        told = str(refused(MESSAGES, 400, {"error": {"message": text}}, VLLM).content(dialect))
        assert "vllm.toolCallParser" in told
        assert "--" not in told, "nobody but Berth gives vLLM its options"


@pytest.mark.parametrize(
    ("text", "tokens", "window"),
    [
        (LONG, 3031, 2048),
        ("This model's maximum context length is 16 tokens. However, you requested 20 tokens", 20, 16),
        ("maximum context length is 16 tokens and your request has 17 input tokens", 17, 16),
        ("The decoder prompt (length 20) is longer than the maximum model length of 16.", 20, 16),
        ("The prompt (total length 25) is too long to fit into the model (context length 16).", 25, 16),
        (LONG_INPUT, 2100, 2048),
        ("input is too large to process. increase the physical batch size", None, None),
    ],
)
def test_the_numbers_of_a_prompt_that_is_too_long(text: str, tokens: int | None, window: int | None) -> None:
    fault = callers_fault(LLAMACPP, MESSAGES, text)
    assert fault
    assert (fault.tokens, fault.window) == (tokens, window)


@pytest.mark.covers("/v1/messages has Anthropic's errors")
def test_the_engines_own_fault_keeps_its_status() -> None:
    sent = {"error": {"message": "Compute error.", "type": "server_error", "code": 500}}
    error = refused(MESSAGES, 500, sent)
    assert error.status == 500
    assert error.content(Dialect.ANTHROPIC)["error"]["type"] == "api_error"
    assert error.content()["error"] == {
        "message": "Compute error.",
        "type": "server_error",
        "param": None,
        "code": None,
    }


def test_a_refusal_in_anthropics_shape_is_understood() -> None:
    error = refused(MESSAGES, 404, {"type": "error", "error": {"type": "not_found_error", "message": "no"}}, VLLM)
    assert error.content(Dialect.ANTHROPIC)["error"]["type"] == "not_found_error"
    assert error.content()["error"]["message"] == "no"


def test_what_is_no_error_object_is_told_as_it_is() -> None:
    error = refused(CHAT_COMPLETIONS, 422, {"detail": [{"loc": ["n"]}]}, Backend.TRANSFORMERS)
    assert error.content()["error"]["message"] == 'The engine answered with status 422: {"detail":[{"loc":["n"]}]}'
    assert engine_refusal(LLAMACPP, MESSAGES, 503, b"\xff").message == "The engine answered with status 503: \ufffd"


@pytest.mark.parametrize("engine", Backend)
@pytest.mark.covers("502 engine_key_refused, Retry-After")
def test_an_engine_that_asks_for_another_key_is_not_the_clients_fault(engine: Backend) -> None:
    sent = orjson.dumps({"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}})
    error = engine_refusal(engine, CHAT_COMPLETIONS, 401, sent)
    assert (error.status, error.code, error.headers()["retry-after"]) == (502, "engine_key_refused", "10")
    assert "has changed" in error.message
