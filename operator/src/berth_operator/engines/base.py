"""What the operator must know of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from berth_api.model_deployment import Backend, ModelDeploymentSpec

PORT = 8000
"""The port of every engine in its own pod."""


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """How an engine's container is run: the launcher's arguments, and where the engine then listens."""

    args: list[str]
    port: int
    health_path: str
    """Answers 200 when, and only when, the engine can serve."""
    models_path: str | None = None
    """Lists the engine's model with its context. None: the engine does not tell."""
    writes: bool = True
    """Whether it writes files of its own, to /tmp."""
    shares_memory: bool = False
    """Whether its processes share more memory than the 64 MiB that every pod has in /dev/shm."""


class EngineKind(Protocol):
    """An engine that a deployment can name."""

    def process(self, spec: ModelDeploymentSpec, shares: int = 1) -> EngineProcess:
        """How to run the engine for this spec, whose defaults are filled in. `shares`: so many engines share a GPU."""
        ...


def launcher_arguments(engine: Backend, spec: ModelDeploymentSpec, options: Mapping[str, object | None]) -> list[str]:
    """The launcher's arguments: `ENGINE --model ... OPTIONS [-- ENGINE ARGUMENTS]`.

    `options`: each with its value. True gives the option alone; None and False leave it out.
    """
    common = {"--model": spec.model, "--alias": spec.model, "--port": PORT}
    arguments = [engine.value]
    for name, value in {**common, **options}.items():
        if value is True:
            arguments.append(name)
        elif value is not None and value is not False:
            arguments += [name, str(value)]
    return [*arguments, "--", *spec.engine_args] if spec.engine_args else arguments
