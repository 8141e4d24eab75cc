"""What a model will take of memory, estimated from its header before it starts: pure.

The estimates are bounds: a budget that is kept by them is kept by the processes. They leave out what an engine may keep
beyond its settings, which Berth's launcher turns off (llama.cpp's cache of earlier prompts).
"""

from berth_formats.model import AttentionShape, ModelDescription

MIB = 1 << 20
GIB = 1 << 30

LLAMACPP_RUNTIME_BYTES = 64 * MIB
"""The server with no model: its code, interpreter and supervisor (measured: 40 MiB resident)."""

LLAMACPP_TOKEN_BYTES = 512
"""For each token of the vocabulary: its text, and its entries in the tokenizer's tables."""

LLAMACPP_BATCH_TOKENS = 512
"""Tokens that are computed at once (`--ubatch-size`); intermediate results are as many rows."""

KV_ELEMENT_BYTES = 2
"""Keys and values are kept as 16-bit numbers."""

_FLOAT_BYTES = 4

LLAMACPP_GPU_BYTES = 768 * MIB
"""What its process takes of a GPU besides weights, contexts and intermediate results (measured:
597 to 612 MiB on an H100).
"""

_PARTLY_ON_GPU = 2
"""Intermediate results on the GPU take up to so much more where some layers are elsewhere, whose weights visit for long prompts."""

PYTORCH_GPU_BYTES = 1 * GIB
"""The same of a process of PyTorch (measured: 0.6 to 0.75 GiB on an H100, after a few short answers)."""

PYTORCH_RUNTIME_BYTES = 2 * GIB
"""Interpreter, PyTorch and its libraries, and intermediate results; a transformers server without a model has 0.7 GiB resident."""

PYTORCH_WEIGHTS_FACTOR = 1.1
"""What is converted while it is loaded, and what allocators leave unused."""


def kv_cache_bytes(attention: AttentionShape | None, tokens: int) -> int:
    """Bytes of the keys and values of so many tokens of context; 0 where the shape is not known."""
    return tokens * attention.kv_elements_per_token * KV_ELEMENT_BYTES if attention else 0


def llamacpp_bytes(model: ModelDescription, context_size: int, slots: int) -> int:
    """Memory of llama.cpp: mapped weights, contexts of `context_size` tokens for each slot, and what it computes in.

    Its largest intermediate results are the scores of every token of the vocabulary, for each token of a batch.
    """
    runtime = LLAMACPP_RUNTIME_BYTES + LLAMACPP_TOKEN_BYTES * (model.vocabulary_size or 0)
    return (
        model.file_bytes
        + kv_cache_bytes(model.attention, context_size * slots)
        + _llamacpp_compute_bytes(model)
        + runtime
    )


def llamacpp_gpu_bytes(model: ModelDescription, context_size: int, slots: int, layers: int) -> int:
    """What llama.cpp takes of a GPU that has so many of the model's layers and of their contexts; -1 layers are all.

    The output counts as one layer more, as llama.cpp counts it.
    """
    most = model.attention.layers + 1 if model.attention else None
    share = 1.0 if layers < 0 or (layers and most is None) else min(1.0, layers / most) if most else 0.0
    compute = _llamacpp_compute_bytes(model) * (1 if share == 1.0 else _PARTLY_ON_GPU)
    return (
        round(share * (model.file_bytes + kv_cache_bytes(model.attention, context_size * slots)))
        + compute
        + LLAMACPP_GPU_BYTES
    )


def _llamacpp_compute_bytes(model: ModelDescription) -> int:
    embedding = model.attention.embedding_length if model.attention else 0
    return LLAMACPP_BATCH_TOKENS * _FLOAT_BYTES * ((model.vocabulary_size or 0) + 2 * embedding)


def pytorch_bytes(model: ModelDescription, cache_bytes: int) -> int:
    """Memory of an engine on PyTorch on the CPU (Transformers, vLLM), with what it sets aside for contexts."""
    return round(model.file_bytes * PYTORCH_WEIGHTS_FACTOR) + cache_bytes + PYTORCH_RUNTIME_BYTES


def pytorch_gpu_bytes(model: ModelDescription, cache_bytes: int) -> int:
    """What an engine on PyTorch takes of a GPU, with what it sets aside for contexts."""
    return model.file_bytes + cache_bytes + PYTORCH_GPU_BYTES
