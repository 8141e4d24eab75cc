"""vLLM: serves safetensors models, many requests at once."""

from berth_api.model_deployment import Backend, ModelDeploymentSpec, VllmSettings
from berth_operator.engines.base import PORT, EngineProcess, launcher_arguments
from berth_operator.engines.context import MODELS_PATH


class Vllm:
    """The vLLM server. Several GPUs share each layer (tensor parallelism), over the pod's shared memory."""

    def process(self, spec: ModelDeploymentSpec) -> EngineProcess:
        """The launcher's arguments for this spec."""
        settings = spec.vllm or VllmSettings()
        arguments = launcher_arguments(
            Backend.VLLM,
            spec,
            {
                "--device": spec.device,
                "--devices": spec.devices,
                "--gpu-memory-utilization": settings.gpu_memory_utilization,
                "--max-model-len": settings.max_model_len,
                "--tool-call-parser": settings.tool_call_parser,
                "--reasoning-parser": settings.reasoning_parser,
            },
        )
        return EngineProcess(args=arguments, port=PORT, health_path="/health", models_path=MODELS_PATH)
