"""A request to each path that runs as it is, for the description of the API: pure."""

from collections.abc import Mapping
from typing import Any

from berth_api.inference import (
    CHAT_COMPLETIONS,
    CHAT_INPUT_TOKENS,
    COMPLETIONS,
    DETOKENIZE,
    EMBEDDINGS,
    INFILL,
    MESSAGES,
    MESSAGES_COUNT_TOKENS,
    RERANK,
    RESPONSES,
    RESPONSES_INPUT_TOKENS,
    TOKENIZE,
)

MODEL = "MODEL"
"""Stands for a model of the store. The page of the API has the name of one there, for those who may see names."""

_QUESTION = "What is the capital of France?"
_MESSAGES = [{"role": "user", "content": _QUESTION}]
_TEXT = "The capital of France is"

_FIELDS: Mapping[str, dict[str, Any]] = {
    CHAT_COMPLETIONS: {"messages": _MESSAGES, "max_tokens": 32},
    COMPLETIONS: {"prompt": _TEXT, "max_tokens": 16},
    RESPONSES: {"input": _QUESTION, "max_output_tokens": 32},
    MESSAGES: {"messages": _MESSAGES, "max_tokens": 32},
    MESSAGES_COUNT_TOKENS: {"messages": _MESSAGES},
    CHAT_INPUT_TOKENS: {"messages": _MESSAGES},
    RESPONSES_INPUT_TOKENS: {"input": _QUESTION},
    EMBEDDINGS: {"input": ["Paris is the capital of France."]},
    RERANK: {"query": _QUESTION, "documents": ["Paris is the capital of France.", "The sea is blue."]},
    TOKENIZE: {"prompt": _TEXT},
    DETOKENIZE: {"tokens": [1, 2, 3]},
    INFILL: {"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n", "max_tokens": 16},
    "/v1/models/load": {},
    "/v1/models/plan": {},
    "/v1/models/unload": {},
    "/api/chat": {"messages": _MESSAGES, "stream": False},
    "/api/generate": {"prompt": _QUESTION, "stream": False},
    "/api/embed": {"input": "Paris is the capital of France."},
    "/api/embeddings": {"prompt": "Paris is the capital of France."},
    "/api/show": {},
}
"""What each request has besides the model."""

EXAMPLES: Mapping[str, dict[str, Any]] = {path: {"model": MODEL, **fields} for path, fields in _FIELDS.items()}

_ORDER = {
    "inference": "Ask a model: OpenAI's API, and Anthropic's messages. The first request starts it.",
    "models": "What there is, what runs, and what would happen.",
    "downloads": "Bring a model of the hub into the store.",
    "ollama": "Ollama's API.",
    "operations": "For probes and monitoring.",
}
"""The groups of paths, in the order in which people want them."""


def add_examples(schema: dict[str, Any]) -> None:
    """Adds the examples to an OpenAPI schema, and has what answers come first."""
    for path, example in EXAMPLES.items():
        content = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        content["example"] = example
    schema["tags"] = [{"name": name, "description": about} for name, about in _ORDER.items()]
    rank = {name: at for at, name in enumerate(_ORDER)}
    schema["paths"] = dict(sorted(schema["paths"].items(), key=lambda path: rank.get(_group(path[1]), len(rank))))


def _group(operations: dict[str, Any]) -> str:
    return next((tag for operation in operations.values() for tag in operation.get("tags", ())), "")
