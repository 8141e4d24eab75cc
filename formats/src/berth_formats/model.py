"""What the files of a model say of it."""

from dataclasses import dataclass
from typing import Literal

from berth_formats.abilities import Abilities
from berth_formats.pooling import Pooling

MAX_LAYERS = 4096
"""A header that claims more is wrong."""


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """The numbers that the memory of a context depends on."""

    layers: int
    embedding_length: int
    heads: int
    kv_heads: tuple[int, ...]
    """For each layer; 0 for a layer without attention."""
    key_length: int
    value_length: int

    @property
    def kv_elements_per_token(self) -> int:
        """How many numbers the keys and values of one token have, over all layers."""
        return sum(self.kv_heads) * (self.key_length + self.value_length)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model, as far as its files describe it. None: they do not say."""

    format: Literal["gguf", "safetensors"]
    architecture: str | None
    """llama, qwen3, ..."""
    parameters: int
    """Elements of all tensors, as they are stored."""
    quantization: str | None
    """Q4_K_M, F16, BF16, awq, ... None: the directory holds several, and the caller named none."""
    context_length: int | None
    """The tokens that the model was made for."""
    has_chat_template: bool
    file_bytes: int
    """Size of the files of weights."""
    attention: AttentionShape | None
    feed_forward_length: int | None
    vocabulary_size: int | None
    abilities: Abilities
    pooling: Pooling | None = None
    licence: str | None = None
    """As its weights state it, or else its card: apache-2.0, llama3.2, ..."""
    saves_context: bool = False
    """Some layers keep less of a context than its shape says: the last tokens, a compressed form, or nothing."""


def attention_shape(
    layers: int | None,
    embedding_length: int | None,
    heads: int | None,
    kv_heads: int | tuple[int, ...] | None,
    key_length: int | None,
    value_length: int | None,
) -> AttentionShape | None:
    """The shape, with the usual values for those that are left out. None: too little is known, or it is impossible."""
    if (
        not layers
        or not embedding_length
        or not heads
        or layers > MAX_LAYERS
        or min(layers, embedding_length, heads) < 0
    ):
        return None
    if kv_heads is None:
        kv_heads = heads
    of_layers = (kv_heads,) * layers if isinstance(kv_heads, int) else kv_heads
    if len(of_layers) != layers or min(of_layers) < 0:
        return None
    key = key_length or embedding_length // heads
    return AttentionShape(layers, embedding_length, heads, of_layers, key, value_length or key)
