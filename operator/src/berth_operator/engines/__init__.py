"""The engines: one file each, and this table of them."""

from berth_api.model_deployment import Backend
from berth_operator.engines.base import EngineKind, EngineProcess
from berth_operator.engines.llamacpp import LlamaCpp
from berth_operator.engines.transformers import Transformers
from berth_operator.engines.vllm import Vllm

ENGINES: dict[Backend, EngineKind] = {
    Backend.LLAMACPP: LlamaCpp(),
    Backend.TRANSFORMERS: Transformers(),
    Backend.VLLM: Vllm(),
}

__all__ = ["ENGINES", "EngineKind", "EngineProcess"]
