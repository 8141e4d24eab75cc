"""A GGUF model: one of the quantizations that a directory holds, in one file or in shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from berth_formats.abilities import Abilities, gguf_abilities
from berth_formats.errors import FormatError
from berth_formats.gguf import CHAT_TEMPLATE, TOOL_TEMPLATE, GgufHeader, OmittedValue, read_gguf, read_opening
from berth_formats.gguf_types import FILE_TYPES
from berth_formats.model import AttentionShape, ModelDescription, attention_shape
from berth_formats.names import WeightSet, gguf_sets, is_gguf, is_projector, weight_sets
from berth_formats.pooling import Pooling, pooling

_FORMAT: Literal["gguf"] = "gguf"

_LESS_THAN_ATTENTION = (
    "attention.sliding_window",
    "attention.kv_lora_rank",
    "full_attention_interval",
    "ssm.conv_kernel",
    "wkv.head_size",
)
"""What a header has if some of the model's layers keep less than all keys and values of a context."""


def describe_gguf(
    directory: Path, files: Sequence[tuple[str, int]], quantization: str | None = None, file: str | None = None
) -> ModelDescription:
    """The model among the files: the one that `file` belongs to, or the one with the quantization.

    Of several it is the first that can be read; they are quantizations of one model, as a rule. Raises FormatError.
    """
    if file is not None and not is_gguf(file):  # a file that was named needs no suffix
        found = weight_sets([one for one in files if one[0] == file])
    else:
        found = gguf_sets(files)
        if file is not None:
            found = [one for one in found if file in one.files]
    if quantization is not None and file is None:
        found = [one for one in found if one.quantization == quantization.upper()]
    if not found:
        raise FormatError(_why_none(files, quantization))
    failures: list[FormatError] = []
    for weights in found:
        try:
            name = directory.name if file is None else Path(file).stem
            beside = [one for one, _ in files]
            return _describe(directory, weights, name, beside, several=len(found) > 1)
        except FormatError as error:
            failures.append(error)
    raise failures[0]


class GgufOpening(NamedTuple):
    """What the first metadata of a file say, those before the vocabulary. None: they do not say."""

    pooling: Pooling | None = None
    context_length: int | None = None


def opening_of(path: Path) -> GgufOpening:
    """What the file says first. It says nothing where it cannot be read."""
    try:
        opening = read_opening(path)
    except FormatError:
        return GgufOpening()
    architecture = opening.text("general.architecture")
    return GgufOpening(
        pooling(opening.number(f"{architecture}.pooling_type")),
        opening.number(f"{architecture}.context_length"),
    )


def _why_none(files: Sequence[tuple[str, int]], quantization: str | None) -> str:
    if quantization:
        return f"it holds no GGUF model in {quantization}"
    if all(is_projector(name) for name, _ in files if is_gguf(name)):
        return "it holds no GGUF model, only a multimodal projector"
    return "its GGUF files are neither at its top nor in a folder there, where llama.cpp's models are looked for"


def _describe(
    directory: Path, weights: WeightSet, name: str, beside: Sequence[str], *, several: bool
) -> ModelDescription:
    """`name`: the model's. `beside`: names of all its files."""
    if weights.missing:
        missing = weights.missing
        raise FormatError(
            f"{weights.name} lacks {len(missing)} of {weights.shards_expected} shards, such as {missing[0]}"
        )
    headers = [read_gguf(directory / name, name) for name in weights.files]
    first = headers[0]
    architecture = first.text("general.architecture")
    if not architecture:
        raise FormatError(f"{weights.files[0]} names no architecture (general.architecture): it is no model")
    if not any(header.tensors for header in headers):
        raise FormatError(f"{weights.files[0]} has no tensors: it is no model")
    return ModelDescription(
        format=_FORMAT,
        architecture=architecture,
        parameters=sum(header.parameters for header in headers),
        quantization=None if several else weights.quantization or _quantization(headers),
        context_length=first.number(f"{architecture}.context_length"),
        has_chat_template=first.has_chat_template,
        file_bytes=weights.size,
        attention=_attention(first, architecture),
        feed_forward_length=_largest(first, f"{architecture}.feed_forward_length"),
        vocabulary_size=_vocabulary_size(first, architecture),
        abilities=_abilities(first, architecture, name, beside),
        licence=first.text("general.license"),
        pooling=pooling(first.number(f"{architecture}.pooling_type")),
        saves_context=any(first.number(f"{architecture}.{key}") for key in _LESS_THAN_ATTENTION),
    )


def _abilities(header: GgufHeader, architecture: str, name: str, files: Sequence[str]) -> Abilities:
    return gguf_abilities(
        name,
        architecture,
        header.number(f"{architecture}.pooling_type"),
        header.text(CHAT_TEMPLATE),
        files,
        has_tool_template=TOOL_TEMPLATE in header.metadata,
    )


def _quantization(headers: Sequence[GgufHeader]) -> str | None:
    """What the header says, or else the type of most elements."""
    stated = (
        FILE_TYPES.get(headers[0].number("general.file_type") or 0)
        if "general.file_type" in headers[0].metadata
        else None
    )
    if stated:
        return stated
    elements: dict[str, int] = {}
    for header in headers:
        for kind, count in header.elements_by_type.items():
            elements[kind] = elements.get(kind, 0) + count
    return max(elements, key=lambda kind: elements[kind], default=None)


def _attention(header: GgufHeader, architecture: str) -> AttentionShape | None:
    def number(key: str) -> int | None:
        return header.number(f"{architecture}.{key}")

    kv_heads = header.numbers(f"{architecture}.attention.head_count_kv") or number("attention.head_count_kv")
    return attention_shape(
        number("block_count"),
        number("embedding_length"),
        _largest(header, f"{architecture}.attention.head_count"),
        kv_heads or header.numbers(f"{architecture}.attention.head_count"),
        number("attention.key_length"),
        number("attention.value_length"),
    )


def _largest(header: GgufHeader, key: str) -> int | None:
    """The number, or the largest of those of each layer."""
    return max(header.numbers(key) or (), default=None) or header.number(key)


def _vocabulary_size(header: GgufHeader, architecture: str) -> int | None:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return tokens.length if isinstance(tokens, OmittedValue) else header.number(f"{architecture}.vocab_size")
