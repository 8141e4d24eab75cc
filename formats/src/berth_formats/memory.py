"""How much memory a model will take, estimated from its header before it starts: pure.

The estimates are upper bounds: if they fit into a budget, the processes do. They leave out what Berth's launcher turns
off, such as llama.cpp's cache of earlier prompts.
"""

import re

from berth_formats.model import AttentionShape, ModelDescription
from berth_formats.pooling import needs_whole_inputs

MIB = 1 << 20
GIB = 1 << 30

LLAMACPP_RUNTIME_BYTES = 64 * MIB
"""The server without a model: code, interpreter and supervisor (measured: 40 MiB resident)."""

LLAMACPP_TOKEN_BYTES = 512
"""For each token of the vocabulary: its text, and its entries in the tokenizer's tables."""

LLAMACPP_BATCH_TOKENS = 512
"""Tokens that llama.cpp computes at once (`--ubatch-size`): its intermediate results have as many rows."""

LEAST_AUTO_CONTEXT, MOST_AUTO_CONTEXT = 2048, 32_768
"""Where nobody states a context: what every conversation needs, and what the first prompt of a coding agent does."""

_AUTO_DOUBLINGS = (MOST_AUTO_CONTEXT // LEAST_AUTO_CONTEXT).bit_length() - 1

KV_ELEMENT_BYTES = 2
"""Keys and values are kept as 16-bit numbers."""

_FLOAT_BYTES = 4

_MASK_BYTES = 6
"""For each pair of tokens that are computed at once: which sees which, as a number of 4 bytes and as one of 2."""

_WITHOUT_CACHE = re.compile(r"bert|gemma-embedding")
"""Architectures for which llama.cpp keeps no keys and values."""

LLAMACPP_GPU_BYTES = 768 * MIB
"""What llama.cpp takes of a GPU besides weights, contexts and results (measured: 597 to 612 MiB on an H100)."""

_PARTLY_ON_GPU = 2
"""How many times as much the intermediate results on the GPU may take if some layers are elsewhere.

llama.cpp copies the weights of those layers to the GPU for long prompts.
"""

PYTORCH_GPU_BYTES = 1 * GIB
"""What PyTorch takes of a GPU besides (measured: 0.6 to 0.75 GiB on an H100, after a few short answers)."""

PYTORCH_RUNTIME_BYTES = 2 * GIB
"""Interpreter, PyTorch and its libraries, and intermediate results.

A Transformers server without a model was measured at 0.7 GiB.
"""

PYTORCH_WEIGHTS_FACTOR = 1.1
"""More than the weights: they are converted while they are loaded, and allocators leave memory unused."""


LLAMACPP_GPU_HOST_BYTES = 768 * MIB
"""What llama.cpp takes of the machine's memory besides, if it computes on a GPU (measured: half a gigabyte)."""

PYTORCH_GPU_HOST_BYTES = 2 * GIB
"""What each process of PyTorch takes of the machine's memory if it computes on a GPU.

A Transformers server was measured at 1.5 GB. vLLM, which has never been measured, has one process for each GPU and one
that serves. Weights pass through the page cache, which the kernel takes back.
"""

VLLM_SERVER_BYTES = 512 * MIB
"""What the process of vLLM takes that serves, beside the one that computes on the CPU.

Both together had 2.2 GiB resident beside weights and cache, 0.35 GiB of it the same pages.
"""

VLLM_CPU_REQUESTS = 4
"""Requests of full length that vLLM's cache on a CPU has room for; of shorter ones there may be more."""

MIN_VLLM_CPU_CACHE_BYTES = 256 * MIB
MAX_VLLM_CPU_CACHE_BYTES = 4 * GIB
"""vLLM writes all of its cache when it starts, which takes 4 s per GiB; and others need memory too."""

BATCHING_CPU_CACHE_BYTES = 2 * GIB
"""Memory for the contexts of Transformers' continuous batching on a CPU. All of it is taken at the first request."""

BATCHING_GPU_SHARE = 0.9
"""The share that Transformers' continuous batching takes for contexts, of what the weights leave free on a GPU."""


def kv_cache_bytes(attention: AttentionShape | None, tokens: int) -> int:
    """Bytes of the keys and values of so many tokens of context; 0 where the shape is not known."""
    return tokens * attention.kv_elements_per_token * KV_ELEMENT_BYTES if attention else 0


def context_sizes(model: ModelDescription) -> tuple[int, ...]:
    """The contexts of this model among which memory decides where nobody does, in tokens, the largest first.

    They are the powers of two up to what the model was made for. One that was made for less than the least has that.
    """
    trained = model.context_length
    if trained is None or model.attention is None:  # what more would take is not known
        return (LEAST_AUTO_CONTEXT,)
    sizes = [LEAST_AUTO_CONTEXT << doublings for doublings in range(_AUTO_DOUBLINGS, -1, -1)]
    return tuple(size for size in sizes if size <= trained) or (trained,)


def llamacpp_bytes(model: ModelDescription, context_size: int, slots: int) -> int:
    """Bytes that llama.cpp takes: mapped weights, a context of `context_size` tokens per slot, intermediate results.

    The largest of the results are the scores of every token of the vocabulary, for each token of a batch.
    """
    runtime = LLAMACPP_RUNTIME_BYTES + LLAMACPP_TOKEN_BYTES * (model.vocabulary_size or 0)
    return (
        model.file_bytes
        + _llamacpp_cache_bytes(model, context_size * slots)
        + _llamacpp_compute_bytes(model, context_size)
        + runtime
    )


def llamacpp_gpu_bytes(model: ModelDescription, context_size: int, slots: int, layers: int, devices: int = 1) -> int:
    """Bytes that llama.cpp takes of its GPUs together, which hold so many of the model's layers, with their contexts.

    `layers`: -1 is all. The output counts as one more layer, as in llama.cpp.
    """
    share = _share_of_layers(model, layers)
    compute = _llamacpp_compute_bytes(model, context_size) * (1 if share == 1.0 else _PARTLY_ON_GPU)
    return llamacpp_gpu_least_bytes(model, context_size, slots, layers) + devices * (compute + LLAMACPP_GPU_BYTES)


def llamacpp_gpu_least_bytes(model: ModelDescription, context_size: int, slots: int, layers: int) -> int:
    """The weights and contexts of so many layers alone: less than that no GPU can have."""
    cache = _llamacpp_cache_bytes(model, context_size * slots)
    return round(_share_of_layers(model, layers) * (model.file_bytes + cache))


def llamacpp_gpu_host_bytes(model: ModelDescription, context_size: int, slots: int, layers: int) -> int:
    """Bytes that llama.cpp takes of the machine's memory, if a GPU holds so many of the model's layers."""
    cache = _llamacpp_cache_bytes(model, context_size * slots)
    here = round((1.0 - _share_of_layers(model, layers)) * (model.file_bytes + cache))
    runtime = LLAMACPP_RUNTIME_BYTES + LLAMACPP_TOKEN_BYTES * (model.vocabulary_size or 0)
    return here + _llamacpp_compute_bytes(model, context_size) + runtime + LLAMACPP_GPU_HOST_BYTES


def _share_of_layers(model: ModelDescription, layers: int) -> float:
    most = model.attention.layers + 1 if model.attention else None
    if layers < 0 or (layers and most is None):
        return 1.0
    return min(1.0, layers / most) if most else 0.0


def _llamacpp_cache_bytes(model: ModelDescription, tokens: int) -> int:
    """Keys and values of contexts. A model that reads its whole input at once, and generates nothing, keeps none."""
    return 0 if _WITHOUT_CACHE.search(model.architecture or "") else kv_cache_bytes(model.attention, tokens)


def _llamacpp_compute_bytes(model: ModelDescription, context_size: int) -> int:
    embedding = model.attention.embedding_length if model.attention else 0
    row = _FLOAT_BYTES * ((model.vocabulary_size or 0) + 2 * embedding)
    if not needs_whole_inputs(model.pooling):
        return LLAMACPP_BATCH_TOKENS * row
    tokens = min(context_size, model.context_length or context_size)
    return tokens * (row + _FLOAT_BYTES * (model.feed_forward_length or 0) + _MASK_BYTES * tokens)


def pytorch_bytes(model: ModelDescription, cache_bytes: int) -> int:
    """Bytes that an engine on PyTorch takes on the CPU. `cache_bytes`: reserved for contexts."""
    return round(model.file_bytes * PYTORCH_WEIGHTS_FACTOR) + cache_bytes + PYTORCH_RUNTIME_BYTES


def vllm_bytes(model: ModelDescription, cache_bytes: int) -> int:
    """Bytes that vLLM takes on the CPU: as `pytorch_bytes`, and a process that serves."""
    return pytorch_bytes(model, cache_bytes) + VLLM_SERVER_BYTES


def pytorch_gpu_bytes(model: ModelDescription, cache_bytes: int, devices: int = 1) -> int:
    """Bytes that an engine on PyTorch takes of its GPUs together. `cache_bytes`: reserved for contexts."""
    return model.file_bytes + cache_bytes + devices * PYTORCH_GPU_BYTES


def pytorch_gpu_host_bytes(processes: int) -> int:
    """Bytes that an engine on PyTorch, of so many processes, takes of the machine's memory if it computes on GPUs."""
    return processes * PYTORCH_GPU_HOST_BYTES


def vllm_cpu_cache_bytes(
    attention: AttentionShape | None, context_length: int | None, max_model_len: int | None, usable_bytes: int
) -> int:
    """vLLM's memory for contexts on a CPU: room for `VLLM_CPU_REQUESTS` of full length, within bounds.

    A length that was stated (`max_model_len`) has room for one such request, however long it is. `context_length` is
    what the model was made for. `usable_bytes`: what the weights leave.
    """
    one = kv_cache_bytes(attention, max_model_len or context_length or 0)
    if not one:
        return min(MAX_VLLM_CPU_CACHE_BYTES, max(MIN_VLLM_CPU_CACHE_BYTES, usable_bytes))
    wanted = max(min(VLLM_CPU_REQUESTS * one, MAX_VLLM_CPU_CACHE_BYTES), one if max_model_len else 0)
    return max(MIN_VLLM_CPU_CACHE_BYTES, min(wanted, usable_bytes))
