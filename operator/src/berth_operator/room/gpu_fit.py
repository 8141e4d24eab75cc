"""Whether a model can ever fit into the GPUs that it may get, and what would: pure.

Refused is what no engine could fit: weights and contexts alone, without what engines take besides. What is named
instead fits by the upper bound of the estimate.
"""

from collections.abc import Iterator, Sequence

from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_formats.model import ModelDescription
from berth_operator.room.engine_memory import (
    contexts,
    least_gpu_bytes,
    needed_gpu_bytes,
    usable_gpu_bytes,
    with_context_size,
)
from berth_operator.room.gpus import AllowedGpu
from berth_process.sizes import readable

_CONTEXT_STEP = 256
"""A smaller context is one of so many tokens, or of a multiple."""

_LEAST_CONTEXT = 512


def fits_gpu(spec: ModelDeploymentSpec, model: ModelDescription, gpu: AllowedGpu) -> bool:
    """Whether it may fit. The spec has its defaults filled in."""
    return sum(least_gpu_bytes(_smallest(spec, model), model)) <= usable_gpu_bytes(spec, gpu.bytes)


def never_fits(
    spec: ModelDeploymentSpec,
    model: ModelDescription,
    gpu: AllowedGpu,
    others: Sequence[ModelDescription],
    cpu_bytes: int | None,
) -> str:
    """Why it never fits, with figures, and the nearest things that would.

    `others`: the quantizations in the store. `cpu_bytes`: what it would take on the CPU; None: no engine is for that.
    """
    smallest = _smallest(spec, model)
    weights, cache = least_gpu_bytes(smallest, model)
    needs = f"{readable(weights)} for its weights"
    if cache:
        needs += f" and {readable(cache)} for {_context_words(smallest)}"
    has = readable(usable_gpu_bytes(spec, gpu.bytes))
    whose = f"{_gpus(spec.devices, gpu.shares)} {has}"
    if spec.backend is Backend.VLLM:
        whose += " within gpuMemoryUtilization"
    instead = [*_would_fit(smallest, model, gpu, others)]
    if cpu_bytes is not None:
        instead.append(f"device cpu with {readable(cpu_bytes)} of memory")
    fits = f"this would fit: {' or '.join(instead)}" if instead else "nothing smaller that would fit is in the store"
    return f"it needs {needs} on the GPU, and {whose} ({gpu.where}); {fits}"


def _gpus(count: int, shares: int) -> str:
    if count > 1:
        return f"{count} shares of the largest GPUs have" if shares > 1 else f"{count} of the largest GPUs have"
    return "a share of the largest GPU has" if shares > 1 else "the largest GPU has"


def _smallest(spec: ModelDeploymentSpec, model: ModelDescription) -> ModelDeploymentSpec:
    """The spec with the smallest context that it allows, as a number."""
    return with_context_size(spec, contexts(spec, model)[-1]) if spec.backend is Backend.LLAMACPP else spec


def _context_words(spec: ModelDeploymentSpec) -> str:
    if spec.backend is Backend.LLAMACPP and spec.llamacpp:
        return f"contexts of {spec.llamacpp.context_size} tokens for each request that is answered at once"
    return f"one request of {spec.vllm.max_model_len if spec.vllm else None} tokens"


def _would_fit(
    spec: ModelDeploymentSpec, model: ModelDescription, gpu: AllowedGpu, others: Sequence[ModelDescription]
) -> Iterator[str]:
    room = usable_gpu_bytes(spec, gpu.bytes)
    if context := _smaller_context(spec, model, room):
        yield f"{'contextSize' if spec.backend is Backend.LLAMACPP else 'maxModelLen'} {context}"
    if layers := _fewer_layers(spec, model, room):
        yield f"gpuLayers {layers}"
    smaller = (each for each in others if each.file_bytes < model.file_bytes and each.quantization)
    if found := next((each for each in smaller if needed_gpu_bytes(spec, each) <= room), None):
        yield f"quantization {found.quantization}"


def _smaller_context(spec: ModelDeploymentSpec, model: ModelDescription, room: int) -> int | None:
    asked = _stated_context(spec)
    if asked is None or model.attention is None:
        return None
    low, high = _LEAST_CONTEXT // _CONTEXT_STEP - 1, (asked - 1) // _CONTEXT_STEP
    while low < high:  # the largest that fits: what it takes grows with the context
        middle = (low + high + 1) // 2
        if needed_gpu_bytes(_with_context(spec, middle * _CONTEXT_STEP), model) <= room:
            low = middle
        else:
            high = middle - 1
    size = low * _CONTEXT_STEP
    return size if size >= _LEAST_CONTEXT and needed_gpu_bytes(_with_context(spec, size), model) <= room else None


def _fewer_layers(spec: ModelDeploymentSpec, model: ModelDescription, room: int) -> int | None:
    if spec.backend is not Backend.LLAMACPP or spec.llamacpp is None or model.attention is None:
        return None
    stated = spec.llamacpp.gpu_layers
    most = model.attention.layers if stated is None or stated < 0 else min(stated - 1, model.attention.layers)
    for layers in range(most, 0, -1):
        fewer = spec.llamacpp.model_copy(update={"gpu_layers": layers})
        if needed_gpu_bytes(spec.model_copy(update={"llamacpp": fewer}), model) <= room:
            return layers
    return None


def _stated_context(spec: ModelDeploymentSpec) -> int | None:
    match spec.backend:
        case Backend.LLAMACPP:
            size = spec.llamacpp.context_size if spec.llamacpp else None
            return size if isinstance(size, int) else None
        case Backend.VLLM:
            return spec.vllm.max_model_len if spec.vllm else None
        case Backend.TRANSFORMERS:
            return None


def _with_context(spec: ModelDeploymentSpec, size: int) -> ModelDeploymentSpec:
    if spec.backend is Backend.LLAMACPP:
        return with_context_size(spec, size)
    return spec.model_copy(update={"vllm": spec.vllm and spec.vllm.model_copy(update={"max_model_len": size})})
