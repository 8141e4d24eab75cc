"""The memory of this machine and of its GPU: what all models may take of it, and what each will take."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from berth_api.identity import with_defaults
from berth_api.model_deployment import (
    AUTO,
    DEFAULT_CONTEXT_SIZE,
    DEFAULT_GPU_MEMORY_UTILIZATION,
    MODEL_STORE,
    Backend,
    Device,
    LlamaCppSettings,
    ModelDeploymentSpec,
    VllmSettings,
)
from berth_formats.describe import describe
from berth_formats.errors import FormatError
from berth_formats.memory import (
    GIB,
    context_sizes,
    kv_cache_bytes,
    llamacpp_bytes,
    llamacpp_gpu_bytes,
    pytorch_bytes,
    pytorch_gpu_bytes,
)
from berth_formats.model import ModelDescription
from berth_local.engines.gpu import Gpu
from berth_local.engines.slots import slots
from berth_operator.engines.llamacpp import PARALLEL_SLOTS
from berth_operator.room.estimates import ContextChoice, MemoryEstimate
from berth_runtime.container import usable_memory
from berth_runtime.engines.transformers import CPU_CACHE_BYTES
from berth_runtime.engines.vllm import cpu_cache_bytes

_log = structlog.get_logger(__name__)

BUDGET_SHARE = 0.75
"""The models' share of the memory of this machine, or of this container. The rest is for other programs."""

LARGEST_RESERVE_BYTES = 8 * GIB
"""The most that a large machine keeps for other programs."""

GPU_BATCHING_SHARE = 0.9
"""The share that Transformers' continuous batching takes for contexts, of what the weights leave free on a GPU."""

_Fingerprint = tuple[tuple[str, int, int], ...]


def default_budget() -> int:
    """Bytes of the machine's memory that all models may take together, unless the user allows another number."""
    usable = usable_memory()
    return max(round(usable * BUDGET_SHARE), usable - LARGEST_RESERVE_BYTES)


def budget(memory_bytes: int | None, gpu: Gpu | None) -> dict[Device, int]:
    """Bytes that the models of each device may take together. `memory_bytes`: what the user allows them."""
    main = {Device.CPU: memory_bytes or default_budget()}
    return {**main, Device.CUDA: gpu.free} if gpu else main


class MemoryEstimates:
    """Estimates the memory of deployments from the headers of their models' files, which it reads once.

    It counts memory of the deployment's device. What a deployment on cuda takes of the machine's memory is not counted.
    """

    def __init__(self, store: Path, gpu: Gpu | None = None) -> None:
        self._store = store
        self._gpu = gpu
        self._known: dict[tuple[str, str | None], tuple[_Fingerprint, ModelDescription]] = {}

    async def __call__(self, spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        """None where the files say too little or are no model: then its engine says why."""
        path = self._store / Path(spec.model).relative_to(MODEL_STORE)
        spec = with_defaults(spec)
        quantization = spec.llamacpp.quantization if spec.llamacpp else None
        try:
            model = await asyncio.to_thread(self._described, spec.model, path, quantization)
        except (FormatError, OSError) as error:
            _log.info("memory_not_estimated", model=spec.model, error=str(error))
            return None
        if spec.device is Device.CPU:
            return estimate(spec, model, lambda sized: memory_bytes(sized, model))
        gpu = self._gpu
        if gpu is None or spec.devices > 1:
            return None
        return estimate(spec, model, lambda sized: gpu_memory_bytes(sized, model, gpu))

    def _described(self, name: str, path: Path, quantization: str | None) -> ModelDescription:
        """The description of a model, kept until its files change: to read a vocabulary takes tens of milliseconds."""
        found = _fingerprint(path)
        known = self._known.get((name, quantization))
        if known and known[0] == found:
            return known[1]
        model = describe(path, quantization)
        self._known[name, quantization] = (found, model)
        return model


def estimate(
    spec: ModelDeploymentSpec, model: ModelDescription, bytes_of: Callable[[ModelDeploymentSpec], int]
) -> MemoryEstimate:
    """What the deployment takes with each context that it can have. The spec has its defaults filled in."""
    trained = model.context_length
    settings = spec.llamacpp
    if settings is None:
        # Where transformers generates beyond what the model was made for, nothing stops it.
        size = trained if spec.backend is Backend.TRANSFORMERS else None
        return MemoryEstimate((ContextChoice(bytes_of(spec), size),), trained)
    stated = settings.context_size
    sizes = context_sizes(model) if stated == AUTO or stated is None else (min(stated, trained or stated),)
    sized = [spec.model_copy(update={"llamacpp": settings.model_copy(update={"context_size": size})}) for size in sizes]
    choices = [ContextChoice(bytes_of(one), size) for one, size in zip(sized, sizes, strict=True)]
    return MemoryEstimate(tuple(choices), trained)


def _stated_context(settings: LlamaCppSettings) -> int:
    """The context size of settings in which it is a number."""
    size = settings.context_size
    return DEFAULT_CONTEXT_SIZE if size is None or size == AUTO else size


def _fingerprint(path: Path) -> _Fingerprint:
    """The name, size and time of each file of the model. It changes when they change."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()])


def memory_bytes(spec: ModelDeploymentSpec, model: ModelDescription) -> int:
    """Bytes that the deployment of a model takes on the CPU."""
    match spec.backend:
        case Backend.LLAMACPP:
            settings = spec.llamacpp or LlamaCppSettings()
            return llamacpp_bytes(model, _stated_context(settings), slots())
        case Backend.VLLM:
            settings = spec.vllm or VllmSettings()
            share = settings.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
            usable_bytes = int(share * usable_memory()) - model.file_bytes
            cache = cpu_cache_bytes(model.attention, model.context_length, settings.max_model_len, usable_bytes)
            return pytorch_bytes(model, cache)
        case Backend.TRANSFORMERS:
            batching = spec.transformers and spec.transformers.continuous_batching
            return pytorch_bytes(
                model, CPU_CACHE_BYTES if batching else kv_cache_bytes(model.attention, DEFAULT_CONTEXT_SIZE)
            )


def gpu_memory_bytes(spec: ModelDeploymentSpec, model: ModelDescription, gpu: Gpu) -> int:
    """Bytes that the deployment of a model takes of this GPU. The spec has its defaults filled in."""
    match spec.backend:
        case Backend.LLAMACPP:
            settings = spec.llamacpp or LlamaCppSettings()
            layers = -1 if settings.gpu_layers is None else settings.gpu_layers
            return llamacpp_gpu_bytes(model, _stated_context(settings), PARALLEL_SLOTS, layers)
        case Backend.VLLM:
            share = (spec.vllm or VllmSettings()).gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
            return round(share * gpu.total)
        case Backend.TRANSFORMERS:
            batching = spec.transformers and spec.transformers.continuous_batching
            cache = (
                GPU_BATCHING_SHARE * (gpu.total - model.file_bytes)
                if batching
                else kv_cache_bytes(model.attention, DEFAULT_CONTEXT_SIZE)
            )
            return pytorch_gpu_bytes(model, round(cache))
