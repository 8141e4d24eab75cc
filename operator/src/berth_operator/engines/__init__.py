"""The engines: one file each, and this table of them."""

from berth_api.model_deployment import Backend
from berth_operator.engines.base import Engine, EngineProcess
from berth_operator.engines.llamacpp import LlamaCpp

ENGINES: dict[Backend, Engine] = {Backend.LLAMACPP: LlamaCpp()}

__all__ = ["ENGINES", "Engine", "EngineProcess"]
