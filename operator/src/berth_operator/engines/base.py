"""What the operator must know of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from berth_api.model_deployment import Backend, ModelDeploymentSpec

PORT = 8000
"""Where every engine listens in its own pod."""


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """How an engine's container is run: the launcher's arguments and where the engine then listens."""

    args: list[str]
    port: int
    health_path: str
    """Answers 200 when, and only when, the engine can serve."""


class EngineKind(Protocol):
    """One engine. The spec has its defaults filled in."""

    def process(self, spec: ModelDeploymentSpec) -> EngineProcess:
        """How to run the engine for this spec."""
        ...


def launcher_arguments(engine: Backend, spec: ModelDeploymentSpec, options: Mapping[str, object | None]) -> list[str]:
    """`ENGINE --model ... [-- ENGINE ARGUMENTS]`: what every engine is told, then the options that have a value.

    True gives the option alone; None and False leave it out.
    """
    common = {"--model": spec.model, "--alias": spec.model, "--port": PORT}
    arguments = [engine.value]
    for name, value in {**common, **options}.items():
        if value is True:
            arguments.append(name)
        elif value is not None and value is not False:
            arguments += [name, str(value)]
    return [*arguments, "--", *spec.engine_args] if spec.engine_args else arguments
