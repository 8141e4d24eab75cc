"""llama.cpp: serves GGUF files with its own HTTP server."""

from berth_api.model_deployment import LlamaCppSettings, ModelDeploymentSpec
from berth_operator.engines.base import EngineProcess

PORT = 8000
PARALLEL_SLOTS = 4
"""Requests that are computed together; others queue. Each slot has the whole context size to itself and takes memory for it."""


class LlamaCpp:
    """The llama.cpp server."""

    def process(self, spec: ModelDeploymentSpec) -> EngineProcess:
        """See Engine.process."""
        settings = spec.llamacpp or LlamaCppSettings()
        options: dict[str, object | None] = {
            "--model": spec.model,
            "--alias": spec.model,
            "--port": PORT,
            "--context-size": settings.context_size,
            "--gpu-layers": settings.gpu_layers,
            "--quantization": settings.quantization,
            "--parallel": PARALLEL_SLOTS,
        }
        stated = [text for name, value in options.items() if value is not None for text in (name, str(value))]
        return EngineProcess(args=["llamacpp", *stated], port=PORT, health_path="/health")
