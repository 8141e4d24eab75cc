"""vLLM: serves safetensors models, many requests at once."""

from collections.abc import Sequence

from berth_api.engine_settings import VllmSettings
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_operator.engines.base import PORT, EngineProcess, launcher_arguments
from berth_operator.engines.context import MODELS_PATH

_PARTS = 10_000
"""A share of a GPU's memory is stated in ten-thousandths, rounded down."""


class Vllm:
    """The vLLM server. Several GPUs share each layer (tensor parallelism), over the pod's shared memory."""

    def process(self, spec: ModelDeploymentSpec, shares: int = 1) -> EngineProcess:
        """The launcher's arguments for this spec. Of a share of a GPU, it takes that part which it would of a whole."""
        settings = spec.vllm or VllmSettings()
        utilization = settings.gpu_memory_utilization
        if utilization is not None and shares > 1 and spec.device is Device.CUDA:
            utilization = round(utilization * _PARTS) // shares / _PARTS
        arguments = launcher_arguments(
            Backend.VLLM,
            spec,
            {
                "--device": spec.device,
                "--devices": spec.devices,
                "--gpu-memory-utilization": utilization,
                "--max-model-len": settings.max_model_len,
                "--tool-call-parser": settings.tool_call_parser,
                "--reasoning-parser": settings.reasoning_parser,
            },
        )
        return EngineProcess(
            args=arguments,
            port=PORT,
            health_path="/health",
            models_path=MODELS_PATH,
            # One process for each GPU; arguments may ask for more processes.
            shares_memory=spec.devices > 1 or bool(spec.engine_args),
        )


def with_cache_bytes(arguments: Sequence[str], size: int) -> list[str]:
    """The launcher's arguments with so many bytes of each GPU for keys and values.

    vLLM then measures nothing: what it measures is wrong while another engine on the same GPU takes or returns memory.
    """
    engine, *others = arguments
    return [engine, "--kv-cache-memory-bytes", str(size), *others]
