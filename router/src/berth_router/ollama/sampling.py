"""How an answer is to be made: options, form and thinking, in the fields that engines take.

Where engines have different names for one setting, the body gets both: each engine ignores the other's.
"""

from typing import Any

from berth_router.ollama.errors import wrong_field
from berth_router.ollama.requests import AnswerBody, OllamaOptions

_AS_THEY_ARE = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "stop",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
)
"""Options that engines know by the same name."""

BEYOND_OPENAI = frozenset(
    {
        "chat_template_kwargs",
        "json_schema",
        "min_p",
        "repeat_last_n",
        "repeat_penalty",
        "repetition_penalty",
        "top_k",
        "typical_p",
    }
)
"""Fields of these bodies that OpenAI's API does not have. `transformers serve` refuses a body with one of them."""

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "max": "high"}
"""Levels of `think`, and the `reasoning_effort` of OpenAI's API, which ends at high."""

_MOST_ALTERNATIVES = 20
"""Ollama's limit of `top_logprobs`, and OpenAI's."""


def sampling_fields(options: OllamaOptions) -> dict[str, Any]:
    """Fields for the options. `max_tokens` is always among them: None, where the option is absent or not above 0,
    is Ollama's "no limit".
    """
    stated: dict[str, Any] = {
        name: value for name in _AS_THEY_ARE if (value := getattr(options, name)) is not None and value != []
    }
    if options.seed is not None and options.seed >= 0:  # below it is Ollama's "any"
        stated["seed"] = options.seed
    if options.repeat_penalty is not None:
        stated["repetition_penalty"] = options.repeat_penalty  # vLLM's name
    limit = options.num_predict
    stated["max_tokens"] = limit if limit is not None and limit > 0 else None
    return stated


def thinking_fields(think: object) -> dict[str, Any]:
    """Fields for `think`. Raises OllamaError.

    Models' chat templates read `enable_thinking` (Qwen, GLM) or `thinking` (DeepSeek, Granite), and ignore the other;
    gpt-oss goes by the effort.
    """
    if think is None:
        return {}
    if isinstance(think, bool):
        return {"chat_template_kwargs": {"enable_thinking": think, "thinking": think}}
    if not isinstance(think, str) or think not in _EFFORTS:
        raise wrong_field("think", 'must be true, false, "low", "medium", "high" or "max"')
    return {
        "chat_template_kwargs": {"enable_thinking": True, "thinking": True},
        "reasoning_effort": _EFFORTS[think],
    }


def chat_format_fields(wanted: object) -> dict[str, Any]:
    """Fields of a chat for `format`: nothing, "json", or a JSON schema. Raises OllamaError."""
    schema = _schema(wanted)
    if schema is None:
        return {}
    if not schema:
        return {"response_format": {"type": "json_object"}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def text_format_fields(wanted: object) -> dict[str, Any]:
    """The same for the continuation of a text, for which llama.cpp has a field of its own. Raises OllamaError."""
    schema = _schema(wanted)
    if schema is None:
        return {}
    return {**chat_format_fields(wanted), "json_schema": schema or {"type": "object"}}


def logprobs_fields(body: AnswerBody) -> dict[str, Any]:
    """Fields of a chat for `logprobs` and `top_logprobs`. Raises OllamaError."""
    alternatives = body.top_logprobs or 0
    if not 0 <= alternatives <= _MOST_ALTERNATIVES:
        raise wrong_field("top_logprobs", f"must be between 0 and {_MOST_ALTERNATIVES}")
    if not body.logprobs:
        return {}
    return {"logprobs": True, "top_logprobs": alternatives}


def streaming_fields(streams: bool) -> dict[str, Any]:
    """Fields for an answer that comes in events, the last of which counts the tokens; or in one piece."""
    return {"stream": True, "stream_options": {"include_usage": True}} if streams else {"stream": False}


def _schema(wanted: object) -> dict[str, Any] | None:
    """The JSON schema that an answer must have: an empty one for any object; None for any text."""
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return {}
    if isinstance(wanted, dict):
        return wanted  # pyright: ignore[reportUnknownVariableType] (JSON: string keys, any values)
    raise wrong_field("format", 'must be "json" or a JSON schema')
