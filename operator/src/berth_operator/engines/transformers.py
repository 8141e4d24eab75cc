"""Transformers: serves safetensors models of every architecture that the library knows."""

from berth_api.engine_settings import TransformersSettings
from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_operator.engines.base import PORT, EngineProcess, launcher_arguments

EVERY_DEVICE = "auto"
"""The value with which the library divides the model's layers among the GPUs that it sees."""


class Transformers:
    """The server of Transformers. It listens only after it has loaded the model."""

    def process(self, spec: ModelDeploymentSpec, shares: int = 1) -> EngineProcess:
        """The launcher's arguments for this spec."""
        settings = spec.transformers or TransformersSettings()
        arguments = launcher_arguments(
            Backend.TRANSFORMERS,
            spec,
            {
                "--device": spec.device if spec.devices == 1 else EVERY_DEVICE,
                "--continuous-batching": settings.continuous_batching,
            },
        )
        return EngineProcess(args=arguments, port=PORT, health_path="/health")
