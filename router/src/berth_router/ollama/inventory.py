"""/api/tags, /api/ps, /api/show and /api/version: what Berth knows of its models, in Ollama's words."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from berth_formats.model import ModelDescription
from berth_router.ollama.answer_clock import timestamp
from berth_router.ollama.names import ollama_name

VERSION = {"version": "0.13.0"}
"""/api/version: an Ollama with this API. Clients compare it, and read nothing but digits and dots."""

FAR_FUTURE = datetime(2300, 1, 1, tzinfo=UTC)
"""`expires_at` of a model that stays: no client takes null, and some count on from it."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the store, as far as Berth knows it."""

    path: str
    """In the store: `/models/NAME`."""
    modified: int
    """Seconds since 1970."""
    size: int
    """Bytes of all files."""
    description: ModelDescription | None = None
    """What the weights say; None where they have not been read, or cannot be."""
    chat_template: str | None = None
    """None where the model has none, or it is not known."""


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model that an engine has loaded."""

    model: KnownModel
    expires_at: datetime | None
    """When it is removed if no request comes. None: never."""
    memory: int
    """Bytes that it takes, as far as it is known: else its files' size."""
    on_gpu: bool
    context_size: int | None
    """Tokens."""


def tags(models: Iterable[KnownModel]) -> dict[str, Any]:
    """/api/tags: the models of the store."""
    return {"models": [{**_entry(model), "modified_at": _modified_at(model)} for model in models]}


def running(models: Iterable[RunningModel]) -> dict[str, Any]:
    """/api/ps: the models that are loaded."""
    return {"models": [_running_entry(each) for each in models]}


def shown(model: KnownModel, default_context_size: int | None) -> dict[str, Any]:
    """/api/show: one model. `default_context_size`: tokens, where a request states none; None: not known."""
    name = ollama_name(model.path)
    return {
        "license": (model.description and model.description.licence) or "",
        "modelfile": f"# A model of Berth's store, which has no Modelfile.\nFROM {name}\n",
        "parameters": "" if default_context_size is None else f"num_ctx {default_context_size}",
        "template": model.chat_template or "",
        "details": _details(model.description),
        "model_info": _model_info(model.description),
        "capabilities": capabilities(model),
        "modified_at": _modified_at(model),
    }


def capabilities(model: KnownModel) -> list[str]:
    """What a model can do: completion, tools, ... Ollama has no word for a model that ranks, which is not for chats."""
    if model.description is None:
        return ["completion"]
    abilities = model.description.abilities
    return ["embedding"] if abilities.kind == "rerank" else abilities.names


def digest_of(model: KnownModel) -> str:
    """64 hexadecimal digits, which change when the model does. Ollama's is its manifest's; clients only compare it."""
    return hashlib.sha256(f"{model.path}\n{model.size}\n{model.modified}".encode()).hexdigest()


def _entry(model: KnownModel) -> dict[str, Any]:
    name = ollama_name(model.path)
    return {
        "name": name,
        "model": name,
        "size": model.size,
        "digest": digest_of(model),
        "details": _details(model.description),
    }


def _running_entry(loaded: RunningModel) -> dict[str, Any]:
    memory = loaded.memory or loaded.model.size
    return {
        **_entry(loaded.model),
        "size": memory,
        "size_vram": memory if loaded.on_gpu else 0,
        "expires_at": timestamp(loaded.expires_at or FAR_FUTURE),
        "context_length": loaded.context_size or 0,
    }


def _details(description: ModelDescription | None) -> dict[str, Any]:
    family = (description.architecture if description else None) or ""
    return {
        "parent_model": "",
        "format": description.format if description else "",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": readable_count(description.parameters) if description else "",
        "quantization_level": (description.quantization if description else None) or "",
    }


def _model_info(description: ModelDescription | None) -> dict[str, Any]:
    """What is known, under GGUF's names. Never null: several clients cannot read that."""
    if description is None:
        return {}
    architecture = description.architecture or "unknown"
    attention = description.attention
    of_architecture = {
        "context_length": description.context_length,
        "embedding_length": attention.embedding_length if attention else None,
        "block_count": attention.layers if attention else None,
        "attention.head_count": attention.heads if attention else None,
        "feed_forward_length": description.feed_forward_length,
        "vocab_size": description.vocabulary_size,
    }
    return {
        "general.architecture": architecture,
        "general.parameter_count": description.parameters,
        **{f"{architecture}.{name}": value for name, value in of_architecture.items() if value is not None},
    }


def readable_count(count: int) -> str:
    """A number of parameters as Ollama writes it: 8.0B → "8B", 134.52M, 1.5B."""
    for divisor, unit, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if count >= divisor:
            return f"{count / divisor:.{0 if count % divisor == 0 else digits}f}{unit}"
    return str(count)


def _modified_at(model: KnownModel) -> str:
    return timestamp(datetime.fromtimestamp(model.modified, UTC))
