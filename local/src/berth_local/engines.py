"""Which engines this machine can run, and what starts each."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from berth_api.model_deployment import Backend, Device
from berth_local import llama_server
from berth_local.environment import is_complete
from berth_local.process_output import Output
from berth_local.processes import ChildProcess, Processes

_log = structlog.get_logger(__name__)

Engines = dict[Backend, list[Device]]
"""The devices that each engine can use here."""

REQUIREMENTS: Mapping[Backend, tuple[str, ...]] = {
    Backend.VLLM: ("vllm==0.32.0",),
    Backend.TRANSFORMERS: ("transformers[serving]==5.23.0", "accelerate", "gguf", "torch==2.13.0"),
}
"""What is installed for an engine: the releases that the engine images have (runtime-image/python)."""

ENVIRONMENT_VARIABLES: Mapping[Backend, str] = {Backend.VLLM: "BERTH_VLLM_ENV", Backend.TRANSFORMERS: "BERTH_TRANSFORMERS_ENV"}
"""Name a Python environment that has the engine, where somebody has made one."""

_NVIDIA = "nvidia-smi"


@dataclass(frozen=True, slots=True)
class PythonEngine:
    """An engine in a Python environment of its own. Without requirements, the environment is somebody else's, and left as it is."""

    directory: Path
    requirements: tuple[str, ...] = ()


def available_engines(environment: Mapping[str, str] = os.environ) -> Engines:
    """The engines and devices of this machine."""
    nvidia = [Device.CUDA] if shutil.which(_NVIDIA, path=environment.get("PATH")) else []
    own_server = shutil.which(llama_server.PROGRAM, path=environment.get("PATH"))
    engines: Engines = {}
    if own_server:
        engines[Backend.LLAMACPP] = [Device.CPU, *nvidia]
    elif importlib.util.find_spec("xllamacpp"):
        engines[Backend.LLAMACPP] = [Device.CPU]  # the wheel has no CUDA
    engines[Backend.TRANSFORMERS] = [Device.CPU, *nvidia]
    # vLLM is built for one kind of device, and the package that can be installed here for CUDA.
    if nvidia or environment.get(ENVIRONMENT_VARIABLES[Backend.VLLM]):
        engines[Backend.VLLM] = nvidia or [Device.CPU]
    return engines


def python_engine(backend: Backend, home: Path, environment: Mapping[str, str] = os.environ) -> PythonEngine:
    """Where the engine is or will be installed."""
    if given := environment.get(ENVIRONMENT_VARIABLES[backend]):
        return PythonEngine(Path(given))
    return PythonEngine(home / "engines" / backend.value, REQUIREMENTS[backend])


class EnvironmentLauncher:
    """Starts an engine from its Python environment, which the first start makes."""

    def __init__(self, processes: Processes, engine: PythonEngine) -> None:
        self._processes = processes
        self._engine = engine

    async def launch(self, arguments: Sequence[str], environment: Mapping[str, str], output: Output) -> ChildProcess:
        """See berth_local.pods.Launcher."""
        engine = self._engine
        if engine.requirements and not is_complete(engine.directory, engine.requirements):
            _log.info("installing_engine", packages=list(engine.requirements), directory=str(engine.directory))
        command = [sys.executable, "-m", "berth_local.environment", str(engine.directory), *engine.requirements, "--", *arguments]
        return await self._processes.start(command, environment, output)
