"""A model in Hugging Face's format: a directory with `config.json` and safetensors weights."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from berth_formats.abilities import Abilities, checkpoint_abilities
from berth_formats.chat_template import DEFAULT, TOOL_USE, checkpoint_templates
from berth_formats.errors import FormatError
from berth_formats.model import AttentionShape, ModelDescription, attention_shape
from berth_formats.names import SAFETENSORS_SUFFIX, WeightSet, is_checkpoint_weights, weight_sets
from berth_formats.safetensors import read_safetensors
from berth_formats.stream import content_of

CONFIG = "config.json"
INDEX_SUFFIX = ".safetensors.index.json"

_FORMAT: Literal["safetensors"] = "safetensors"

_MAX_CONFIG_BYTES = 1024 * 1024
_MAX_JSON_BYTES = 16 * 1024 * 1024
"""The most bytes of a file that is searched for a pattern, and not parsed."""
_MAX_SHARDS = 10_000

_CHAT_TEMPLATE = re.compile(rb'"chat_template"\s*+:\s*+(?!null|"")')
_SHARD_IN_INDEX = re.compile(rb':\s*"([^"\\/]{1,255}\.safetensors)"')

# The names that configurations use for the same thing; the first that is there counts.
_CONTEXT_LENGTH = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
)
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_EMBEDDING_LENGTH = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_HEAD_LENGTH = ("head_dim",)
_FEED_FORWARD_LENGTH = ("intermediate_size", "n_inner", "ffn_dim", "d_ff")
_VOCABULARY_SIZE = ("vocab_size",)

_FULL_ATTENTION = "full_attention"
_LESS_THAN_ATTENTION = ("kv_lora_rank", "full_attention_interval", "attn_layer_period", "ssm_state_size", "state_size")
"""What a configuration has if some of the model's layers keep less than all keys and values of a context."""


def describe_checkpoint(directory: Path, files: Sequence[tuple[str, int]]) -> ModelDescription:
    """The model that the files (paths below the directory, sizes in bytes) at the directory's top make up.

    Raises FormatError.
    """
    names = {name for name, _ in files}
    weights = _weights(directory, files)
    if CONFIG not in names:
        raise FormatError(f"it has no {CONFIG}, which vLLM and Transformers need")
    config = _config(directory)
    headers = [read_safetensors(directory / name, name) for name in weights.files]
    elements: dict[str, int] = {}
    for header in headers:
        for kind, count in header.elements_by_type.items():
            elements[kind] = elements.get(kind, 0) + count
    if not elements:
        raise FormatError(f"{weights.files[0]} has no tensors: it is no model")
    language_model = _language_model(config)
    return ModelDescription(
        format=_FORMAT,
        architecture=_architecture(config),
        parameters=sum(elements.values()),
        quantization=_quantization(config) or max(elements, key=lambda kind: elements[kind]),
        context_length=context_length_of(config),
        has_chat_template=_has_chat_template(directory, names),
        file_bytes=weights.size,
        attention=attention_of(config),
        feed_forward_length=_number(language_model, _FEED_FORWARD_LENGTH),
        vocabulary_size=_number(language_model, _VOCABULARY_SIZE),
        abilities=_abilities(directory, config, names),
        saves_context=_saves_context(language_model),
    )


def attention_of(config: Mapping[str, Any]) -> AttentionShape | None:
    """The shape of the attention that a `config.json` states; None where it states too little."""
    language_model = _language_model(config)
    head_length = _number(language_model, _HEAD_LENGTH)
    return attention_shape(
        _number(language_model, _LAYERS),
        _number(language_model, _EMBEDDING_LENGTH),
        _number(language_model, _HEADS),
        _number(language_model, _KV_HEADS),
        head_length,
        head_length,
    )


def context_length_of(config: Mapping[str, Any]) -> int | None:
    """The tokens that the model was made for, as a `config.json` states them; None where it does not."""
    return _number(_language_model(config), _CONTEXT_LENGTH)


def _weights(directory: Path, files: Sequence[tuple[str, int]]) -> WeightSet:
    """The weights that an engine loads: those that the index lists, or all if there is no index."""
    shards = [(name, size) for name, size in files if is_checkpoint_weights(name)]
    if not shards:
        raise FormatError("its safetensors weights are not at its top, where vLLM and Transformers look for them")
    present = {name for name, _ in shards}
    index = next((name for name, _ in sorted(files) if "/" not in name and name.endswith(INDEX_SUFFIX)), None)
    if index:
        listed = _shards_of_index(directory, index)
        missing = sorted(listed - present)
        if missing:
            raise FormatError(
                f"it lacks {len(missing)} of {len(listed)} shards that {index} lists, such as {missing[0]}"
            )
        shards = [(name, size) for name, size in shards if name in listed]
    else:
        for found in weight_sets(shards):
            if found.missing:
                raise FormatError(
                    f"it lacks {len(found.missing)} of {found.shards_expected} shards, such as {found.missing[0]}"
                )
    return WeightSet(
        "",
        SAFETENSORS_SUFFIX,
        None,
        tuple(sorted(name for name, _ in shards)),
        len(shards),
        sum(size for _, size in shards),
    )


def _shards_of_index(directory: Path, index: str) -> set[str]:
    """The files that an index lists. Its text is searched, not parsed: it has a line for each tensor."""
    listed: set[str] = set()
    for found in _SHARD_IN_INDEX.finditer(content_of(directory / index, _MAX_JSON_BYTES)):
        listed.add(found[1].decode(errors="replace"))
        if len(listed) > _MAX_SHARDS:
            raise FormatError(f"{index} lists more than {_MAX_SHARDS} files: it is damaged")
    if not listed:
        raise FormatError(f"{index} lists no files of weights: it is damaged")
    return listed


def _config(directory: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(content_of(directory / CONFIG, _MAX_CONFIG_BYTES))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{CONFIG} is not JSON: {str(error)[:200]}") from error
    if not isinstance(config, dict):
        raise FormatError(f"{CONFIG} should hold a JSON object")
    return config  # pyright: ignore[reportUnknownVariableType]


def _language_model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the language model. A model of several modalities has it in `text_config`."""
    part = config.get("text_config")
    return {**config, **part} if isinstance(part, dict) else config


def _number(config: Mapping[str, Any], names: Sequence[str]) -> int | None:
    found = (config[name] for name in names if type(config.get(name)) is int and config[name] > 0)
    return next(found, None)


def _saves_context(config: Mapping[str, Any]) -> bool:
    if config.get("sliding_window") and config.get("use_sliding_window") is not False:
        return True
    match config.get("layer_types"):
        case [*kinds] if any(kind != _FULL_ATTENTION for kind in kinds):
            return True
        case _:
            return any(config.get(name) for name in _LESS_THAN_ATTENTION)


def _architecture(config: Mapping[str, Any]) -> str | None:
    kind = config.get("model_type")
    if isinstance(kind, str) and kind:
        return kind[:100]
    match config.get("architectures"):
        case [str(name), *_]:
            return name[:100]
        case _:
            return None


def _quantization(config: Mapping[str, Any]) -> str | None:
    """The method that quantized the weights, such as awq or fp8. None: they are not quantized."""
    match config.get("quantization_config"):
        case {"quant_method": str(method)}:
            return method[:100]
        case _:
            return None


def _abilities(directory: Path, config: Mapping[str, Any], names: set[str]) -> Abilities:
    templates: Mapping[str, str] = {}
    with suppress(FormatError):  # an engine may still load the model: it may not read the file
        templates = checkpoint_templates(directory, names)
    return checkpoint_abilities(
        directory.name, config, templates.get(DEFAULT), names, has_tool_template=TOOL_USE in templates
    )


def _has_chat_template(directory: Path, names: set[str]) -> bool:
    if {"chat_template.jinja", "chat_template.json"} & names:
        return True
    tokenizer = "tokenizer_config.json"
    return tokenizer in names and _CHAT_TEMPLATE.search(content_of(directory / tokenizer, _MAX_JSON_BYTES)) is not None
