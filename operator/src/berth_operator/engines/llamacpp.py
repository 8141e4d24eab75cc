"""llama.cpp: serves GGUF files with its own HTTP server."""

from berth_api.model_deployment import Backend, Device, LlamaCppSettings, ModelDeploymentSpec
from berth_operator.engines.base import PORT, EngineProcess, launcher_arguments

PARALLEL_SLOTS = 8
"""Requests that are computed together; further ones wait.

Each slot takes memory for a whole context: with 2048 tokens, 47 MB for a model of 135 million parameters and 270 MB for
one of 8 billion.
"""


class LlamaCpp:
    """The llama.cpp server. It divides the layers among several GPUs by its own choice."""

    def process(self, spec: ModelDeploymentSpec) -> EngineProcess:
        """The launcher's arguments for this spec."""
        settings = spec.llamacpp or LlamaCppSettings()
        needs_gpu = spec.device is Device.CUDA and settings.gpu_layers != 0
        arguments = launcher_arguments(
            Backend.LLAMACPP,
            spec,
            {
                "--context-size": settings.context_size,
                "--gpu-layers": settings.gpu_layers,
                "--devices": spec.devices if needs_gpu else None,
                "--quantization": settings.quantization,
                "--parallel": PARALLEL_SLOTS,
            },
        )
        return EngineProcess(args=arguments, port=PORT, health_path="/health")
