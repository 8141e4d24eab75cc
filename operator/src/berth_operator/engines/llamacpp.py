"""llama.cpp: serves GGUF files with its own HTTP server."""

from collections.abc import Sequence

from berth_api.engine_settings import LlamaCppSettings
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_operator.engines.base import PORT, EngineProcess, launcher_arguments
from berth_operator.engines.context import MODELS_PATH

PARALLEL_SLOTS = 8
"""Requests that are computed together; further ones wait.

Each slot takes memory for a whole context: with 2048 tokens, 47 MB for a model of 135 million parameters and 270 MB for
one of 8 billion.
"""


_CONTEXT_OPTION = "--context-size"


class LlamaCpp:
    """The llama.cpp server. It divides the layers among several GPUs by its own choice."""

    def process(self, spec: ModelDeploymentSpec, shares: int = 1) -> EngineProcess:
        """The launcher's arguments for this spec."""
        settings = spec.llamacpp or LlamaCppSettings()
        needs_gpu = spec.device is Device.CUDA and settings.gpu_layers != 0
        arguments = launcher_arguments(
            Backend.LLAMACPP,
            spec,
            {
                _CONTEXT_OPTION: settings.context_size,
                "--gpu-layers": settings.gpu_layers,
                "--devices": spec.devices if needs_gpu else None,
                "--quantization": settings.quantization,
                "--parallel": PARALLEL_SLOTS,
            },
        )
        return EngineProcess(args=arguments, port=PORT, health_path="/health", models_path=MODELS_PATH, writes=False)


def with_context_size(arguments: Sequence[str], size: int) -> list[str]:
    """The launcher's arguments with this context size, if they have one."""
    changed = list(arguments)
    if _CONTEXT_OPTION in changed:
        changed[changed.index(_CONTEXT_OPTION) + 1] = str(size)
    return changed
