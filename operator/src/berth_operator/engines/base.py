"""What the operator must know of an engine."""

from dataclasses import dataclass
from typing import Protocol

from berth_api.model_deployment import ModelDeploymentSpec


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """How an engine's container is run: the launcher's arguments and where the engine then listens."""

    args: list[str]
    port: int
    health_path: str
    """Answers 200 when, and only when, the engine can serve."""


class Engine(Protocol):
    """One engine. The spec has its defaults filled in."""

    def process(self, spec: ModelDeploymentSpec) -> EngineProcess:
        """How to run the engine for this spec."""
        ...
