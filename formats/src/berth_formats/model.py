"""What is told of a model."""

from dataclasses import dataclass
from typing import Literal

MAX_LAYERS = 4096
"""A header that claims more is not believed."""


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What the memory of a context depends on."""

    layers: int
    embedding_length: int
    heads: int
    kv_heads: tuple[int, ...]
    """Of each layer; 0 for one without attention."""
    key_length: int
    value_length: int

    @property
    def kv_elements_per_token(self) -> int:
        """Numbers that the keys and values of one token are, over all layers."""
        return sum(self.kv_heads) * (self.key_length + self.value_length)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model, as far as its files tell. None: they do not."""

    format: Literal["gguf", "safetensors"]
    architecture: str | None
    """llama, qwen3, ..."""
    parameters: int
    """Elements of all tensors, as they are stored."""
    quantization: str | None
    """Q4_K_M, F16, BF16, awq, ...; None where the directory holds several and none was named."""
    context_length: int | None
    """Tokens that the model was made for."""
    has_chat_template: bool
    file_bytes: int
    """Size of the files of weights."""
    attention: AttentionShape | None
    feed_forward_length: int | None
    vocabulary_size: int | None


def attention_shape(
    layers: int | None,
    embedding_length: int | None,
    heads: int | None,
    kv_heads: int | tuple[int, ...] | None,
    key_length: int | None,
    value_length: int | None,
) -> AttentionShape | None:
    """The shape, with what is usual for what is left out; None where too little is known or it cannot be."""
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
