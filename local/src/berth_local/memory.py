"""The memory of this machine: what models may have of it, and what each will take."""

import asyncio
from pathlib import Path

import structlog

from berth_api.identity import with_defaults
from berth_api.model_deployment import DEFAULT_CONTEXT_SIZE, MODEL_STORE, Backend, LlamaCppSettings, ModelDeploymentSpec, VllmSettings
from berth_formats.describe import describe
from berth_formats.errors import FormatError
from berth_formats.memory import GIB, kv_cache_bytes, llamacpp_bytes, pytorch_bytes
from berth_formats.model import ModelDescription
from berth_local.slots import slots
from berth_runtime.engines.transformers import CPU_CACHE_BYTES
from berth_runtime.engines.vllm import CPU_REQUESTS, MAX_CPU_CACHE_BYTES, MIN_CPU_CACHE_BYTES
from berth_runtime.memory import usable_memory

_log = structlog.get_logger(__name__)

BUDGET_SHARE = 0.75
"""Of the memory that this machine, or the container, has. The rest is for whoever else works here."""

LARGEST_RESERVE_BYTES = 8 * GIB
"""A large machine keeps no more than this for others."""

_Fingerprint = tuple[tuple[str, int, int], ...]


def default_budget() -> int:
    """Bytes that all models together may have, unless somebody says otherwise."""
    usable = usable_memory()
    return max(round(usable * BUDGET_SHARE), usable - LARGEST_RESERVE_BYTES)


class MemoryEstimates:
    """Estimates what deployments of models in a store will take, from the headers of their files, which it reads once."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._known: dict[tuple[str, str | None], tuple[_Fingerprint, ModelDescription]] = {}

    async def __call__(self, spec: ModelDeploymentSpec) -> int | None:
        """Bytes of memory; None where the files say too little, or are no model: its engine will tell why."""
        path = self._store / Path(spec.model).relative_to(MODEL_STORE)
        spec = with_defaults(spec)
        quantization = spec.llamacpp.quantization if spec.llamacpp else None
        try:
            model = await asyncio.to_thread(self._described, spec.model, path, quantization)
        except (FormatError, OSError) as error:
            _log.info("memory_not_estimated", model=spec.model, error=str(error))
            return None
        return memory_bytes(spec, model)

    def _described(self, name: str, path: Path, quantization: str | None) -> ModelDescription:
        """A vocabulary takes tens of milliseconds to pass over, and a switch between two models should not take that each time."""
        found = _fingerprint(path)
        known = self._known.get((name, quantization))
        if known and known[0] == found:
            return known[1]
        model = describe(path, quantization)
        self._known[name, quantization] = (found, model)
        return model


def _fingerprint(path: Path) -> _Fingerprint:
    """What changes when the model's files do."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()])


def memory_bytes(spec: ModelDeploymentSpec, model: ModelDescription) -> int:
    """What the deployment of a model will take on the CPU."""
    match spec.backend:
        case Backend.LLAMACPP:
            settings = spec.llamacpp or LlamaCppSettings()
            return llamacpp_bytes(model, settings.context_size or DEFAULT_CONTEXT_SIZE, slots())
        case Backend.VLLM:
            length = (spec.vllm or VllmSettings()).max_model_len or model.context_length or DEFAULT_CONTEXT_SIZE
            cache = kv_cache_bytes(model, CPU_REQUESTS * length)
            return pytorch_bytes(model, max(MIN_CPU_CACHE_BYTES, min(cache, MAX_CPU_CACHE_BYTES)))
        case Backend.TRANSFORMERS:
            batching = spec.transformers and spec.transformers.continuous_batching
            return pytorch_bytes(model, CPU_CACHE_BYTES if batching else kv_cache_bytes(model, DEFAULT_CONTEXT_SIZE))
