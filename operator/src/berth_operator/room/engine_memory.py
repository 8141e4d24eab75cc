"""What each engine will take of which memory, for a model whose files are described: pure."""

from dataclasses import dataclass
from math import ceil

from berth_api.engine_settings import (
    AUTO,
    DEFAULT_CONTEXT_SIZE,
    DEFAULT_GPU_MEMORY_UTILIZATION,
    LlamaCppSettings,
    VllmSettings,
)
from berth_api.identity import with_defaults
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_formats.memory import (
    BATCHING_CPU_CACHE_BYTES,
    BATCHING_GPU_SHARE,
    PYTORCH_GPU_BYTES,
    context_sizes,
    kv_cache_bytes,
    llamacpp_bytes,
    llamacpp_gpu_bytes,
    llamacpp_gpu_host_bytes,
    llamacpp_gpu_least_bytes,
    pytorch_bytes,
    pytorch_gpu_bytes,
    pytorch_gpu_host_bytes,
    vllm_bytes,
    vllm_cpu_cache_bytes,
)
from berth_formats.model import ModelDescription
from berth_operator.engines.llamacpp import PARALLEL_SLOTS
from berth_operator.room.estimates import ContextChoice, MemoryEstimate

_UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an engine finds where it runs, as far as its memory depends on that."""

    cpu_slots: int = PARALLEL_SLOTS
    """Requests that llama.cpp answers at once on the CPU."""
    memory: int | None = None
    """Bytes that its container may use. None: no bound is known."""
    gpu: int | None = None
    """Bytes of one GPU. None: not known."""


def estimate(spec: ModelDeploymentSpec, model: ModelDescription, surroundings: Surroundings) -> MemoryEstimate:
    """What the deployment takes with each context that it can have."""
    spec = with_defaults(spec)
    trained = model.context_length
    if spec.backend is not Backend.LLAMACPP:
        # Where transformers generates beyond what the model was made for, nothing stops it.
        size = trained if spec.backend is Backend.TRANSFORMERS else None
        return MemoryEstimate((_choice(spec, model, surroundings, size),), trained, model.file_bytes)
    choices = (_choice(with_context_size(spec, size), model, surroundings, size) for size in contexts(spec, model))
    return MemoryEstimate(tuple(choices), trained, model.file_bytes)


def contexts(spec: ModelDeploymentSpec, model: ModelDescription) -> tuple[int, ...]:
    """The contexts that a deployment on llama.cpp can have, in tokens, the largest first."""
    stated = spec.llamacpp.context_size if spec.llamacpp else None
    if stated == AUTO:
        return context_sizes(model)
    size = DEFAULT_CONTEXT_SIZE if stated is None else stated
    return (min(size, model.context_length or size),)


def with_context_size(spec: ModelDeploymentSpec, size: int) -> ModelDeploymentSpec:
    """The spec of llama.cpp with this context, in tokens."""
    settings = (spec.llamacpp or LlamaCppSettings()).model_copy(update={"context_size": size})
    return spec.model_copy(update={"llamacpp": settings})


def cpu_bytes(spec: ModelDeploymentSpec, model: ModelDescription, surroundings: Surroundings) -> int:
    """Bytes that the deployment takes on the CPU. Its context is a number, and its defaults are filled in."""
    match spec.backend:
        case Backend.LLAMACPP:
            return llamacpp_bytes(model, _context_size(spec), surroundings.cpu_slots)
        case Backend.VLLM:
            memory = surroundings.memory
            usable = _UNBOUNDED if memory is None else int(_utilization(spec) * memory) - model.file_bytes
            cache = vllm_cpu_cache_bytes(model.attention, model.context_length, _max_model_len(spec), usable)
            return vllm_bytes(model, cache)
        case Backend.TRANSFORMERS:
            cache = BATCHING_CPU_CACHE_BYTES if _batches(spec) else _default_cache(model)
            return pytorch_bytes(model, cache)


def gpu_bytes(spec: ModelDeploymentSpec, model: ModelDescription, gpu: int | None) -> int | None:
    """Bytes that the deployment takes of its GPUs together; otherwise as `cpu_bytes`.

    `gpu`: the size of one. None: that decides, and is not known.
    """
    match spec.backend:
        case Backend.VLLM:
            return None if gpu is None else round(_utilization(spec) * gpu) * spec.devices
        case Backend.TRANSFORMERS if _batches(spec):
            if gpu is None:
                return None
            cache = round(BATCHING_GPU_SHARE * (gpu * spec.devices - model.file_bytes))
            return pytorch_gpu_bytes(model, cache, spec.devices)
        case _:
            return needed_gpu_bytes(spec, model)


def needed_gpu_bytes(spec: ModelDeploymentSpec, model: ModelDescription) -> int:
    """An upper bound of what the GPUs must have together for the engine to start."""
    match spec.backend:
        case Backend.LLAMACPP:
            return llamacpp_gpu_bytes(model, _context_size(spec), PARALLEL_SLOTS, _layers(spec), spec.devices)
        case Backend.VLLM:
            cache = kv_cache_bytes(model.attention, _max_model_len(spec) or 0)
            return pytorch_gpu_bytes(model, cache, spec.devices)
        case Backend.TRANSFORMERS:
            return pytorch_gpu_bytes(model, _default_cache(model), spec.devices)


def least_gpu_bytes(spec: ModelDeploymentSpec, model: ModelDescription) -> tuple[int, int]:
    """What the GPUs must have together at the very least: for weights, and for the context that was asked for."""
    match spec.backend:
        case Backend.LLAMACPP:
            weights = llamacpp_gpu_least_bytes(model, 0, PARALLEL_SLOTS, _layers(spec))
            total = llamacpp_gpu_least_bytes(model, _context_size(spec), PARALLEL_SLOTS, _layers(spec))
            cache = total - weights
        case Backend.VLLM:
            weights, cache = model.file_bytes, kv_cache_bytes(model.attention, _max_model_len(spec) or 0)
        case Backend.TRANSFORMERS:
            weights, cache = model.file_bytes, 0
    return weights, 0 if model.saves_context else cache


def usable_gpu_bytes(spec: ModelDeploymentSpec, gpu: int) -> int:
    """What the engine uses of its GPUs together, each of so many bytes."""
    share = _utilization(spec) if spec.backend is Backend.VLLM else 1.0
    return int(share * gpu) * spec.devices


def vllm_gpu_cache_bytes(spec: ModelDeploymentSpec, weights_bytes: int, gpu: int) -> int | None:
    """What vLLM has of each of its GPUs for keys and values, if it may have so much of one.

    None: nothing is certain to be left. Then vLLM has to measure it.
    """
    left = usable_gpu_bytes(spec, gpu) // spec.devices - ceil(weights_bytes / spec.devices) - PYTORCH_GPU_BYTES
    return left if left > 0 else None


def _choice(
    spec: ModelDeploymentSpec, model: ModelDescription, surroundings: Surroundings, size: int | None
) -> ContextChoice:
    if spec.device is Device.CPU:
        of_cpu = cpu_bytes(spec, model, surroundings)
        return ContextChoice(of_cpu, size, of_cpu)
    return ContextChoice(gpu_bytes(spec, model, surroundings.gpu), size, _host_bytes(spec, model))


def _host_bytes(spec: ModelDeploymentSpec, model: ModelDescription) -> int:
    """Bytes of the machine's memory, where it computes on GPUs."""
    match spec.backend:
        case Backend.LLAMACPP:
            return llamacpp_gpu_host_bytes(model, _context_size(spec), PARALLEL_SLOTS, _layers(spec))
        case Backend.VLLM:
            return pytorch_gpu_host_bytes(1 + spec.devices)
        case Backend.TRANSFORMERS:
            return pytorch_gpu_host_bytes(1)


def _context_size(spec: ModelDeploymentSpec) -> int:
    size = spec.llamacpp.context_size if spec.llamacpp else None
    return DEFAULT_CONTEXT_SIZE if size is None or size == AUTO else size


def _layers(spec: ModelDeploymentSpec) -> int:
    layers = spec.llamacpp.gpu_layers if spec.llamacpp else None
    return -1 if layers is None else layers


def _utilization(spec: ModelDeploymentSpec) -> float:
    return (spec.vllm or VllmSettings()).gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION


def _max_model_len(spec: ModelDeploymentSpec) -> int | None:
    return spec.vllm.max_model_len if spec.vllm else None


def _batches(spec: ModelDeploymentSpec) -> bool:
    return bool(spec.transformers and spec.transformers.continuous_batching)


def _default_cache(model: ModelDescription) -> int:
    return kv_cache_bytes(model.attention, DEFAULT_CONTEXT_SIZE)
