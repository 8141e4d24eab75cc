"""The GPUs that models of this machine compute on, and who told of them.

NVIDIA's driver is asked by its library (NVML); where that is missing, by its program `nvidia-smi`, which is asked for
one GPU alone. GPUs of other makers are known by the `llama-server` on PATH, which has a backend for them.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import structlog

from berth_local.engines import nvml
from berth_local.engines.llama_server import PROGRAM as LLAMA_SERVER
from berth_local.node.environment import LLAMA_DEVICE

_log = structlog.get_logger(__name__)

_NVIDIA_SMI = "nvidia-smi"
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that lets a process see some of NVIDIA's GPUs alone, by their numbers or identifiers."""

_VULKAN_VISIBLE = "GGML_VK_VISIBLE_DEVICES"
"""The variable with the numbers of those that llama.cpp's Vulkan is to use; a processor counts there too."""

_WITH_A_GPU = ("/dev/dri/renderD128", "/dev/kfd", "/dev/dxg")
"""What Linux has where there is a GPU that a program can compute on: in general, AMD's, and that of WSL."""

_ANSWER_SECONDS = 20
"""Without persistence mode the driver starts the GPU before it answers, which takes seconds."""

_MIB = 1 << 20

_LISTED = re.compile(r"^\s+([A-Za-z]+\d+): (.+) \((\d+) MiB, (\d+) MiB free\)\s*$", re.MULTILINE)
"""A GPU's line of `llama-server --list-devices`: `  CUDA0: NVIDIA H100 80GB HBM3 (81079 MiB, 80552 MiB free)`."""


_SHARES_MEMORY = re.compile(
    r"\b(?:UHD|HD|Iris)\b|Radeon (?:\w+ )?Graphics|Arc\(tm\) (?:\w+ )?Graphics \((?:MTL|LNL|ARL)|llvmpipe"
)
"""The names of GPUs in a processor. They report the machine's own memory, of which a GPU of its own has less."""


class Gpu(NamedTuple):
    """A GPU and its memory in bytes."""

    total: int
    free: int
    """What was free when this process first asked, before it started any model."""
    name: str = ""
    """What its maker calls it. Empty: nobody said."""
    identifier: str = ""
    """What CUDA_VISIBLE_DEVICES takes for it, or llama.cpp's `--device`. Empty: the first GPU that an engine sees."""


class FoundGpus(NamedTuple):
    """The GPUs of this machine that engines may see, in the order in which they see them."""

    gpus: tuple[Gpu, ...] = ()
    by: str = ""
    """Who told of them: `NVML (driver 580.159.04)`, `nvidia-smi`, or the path of a `llama-server`."""
    nvidia: bool = False
    """Whether they are NVIDIA's, which PyTorch and vLLM can use too."""


def find_gpus(environment: Mapping[str, str] = os.environ, library: nvml.Nvml | None = None) -> FoundGpus:
    """The GPUs of this machine. `library`: NVIDIA's, if not the driver's own."""
    visible = environment.get(VISIBLE)
    if visible == "":
        return FoundGpus()
    driver = nvml.ask(library) if library else nvml.ask_once()
    if driver:
        gpus = tuple(Gpu(each.total, each.free, each.name, each.uuid) for each in driver.gpus)
        if seen := seen_of(gpus, visible):
            return FoundGpus(seen, f"NVML (driver {driver.version})", nvidia=True)
    elif program := shutil.which(_NVIDIA_SMI, path=environment.get("PATH")):
        first = visible.split(",")[0].strip() if visible else None
        if gpu := _asked(program, first):
            return FoundGpus((gpu,), _NVIDIA_SMI, nvidia=True)
    server = shutil.which(LLAMA_SERVER, path=environment.get("PATH"))
    if server is None or not _may_have_others(environment):
        return FoundGpus()
    # NVIDIA's own are not counted where their driver does not answer.
    others = [each for each in listed_by(server, environment) if not each.identifier.startswith("CUDA")]
    others = wanted_of(others, environment.get(LLAMA_DEVICE))
    return FoundGpus(tuple(others), server if others else "")


def wanted_of(gpus: Sequence[Gpu], stated: str | None) -> list[Gpu]:
    """Those that models are to use: what the user states for llama.cpp, or those with memory of their own, if any."""
    if stated:
        names = [name.strip() for name in stated.split(",")]
        return [each for name in names for each in gpus if each.identifier == name]
    return [each for each in gpus if not _SHARES_MEMORY.search(each.name)] or list(gpus)


def seen_of(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Those that a process sees with this value of CUDA_VISIBLE_DEVICES: it ends at the first that there is not."""
    if visible is None:
        return tuple(gpus)
    seen: list[Gpu] = []
    for entry in map(str.strip, visible.split(",")):
        if entry.isdecimal():
            named = gpus[int(entry) : int(entry) + 1]
        else:
            named = [each for each in gpus if entry and each.identifier.startswith(entry)]
        if len(named) != 1 or named[0] in seen:
            break
        seen.append(named[0])
    return tuple(seen)


def listed_by(server: str, environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The GPUs that this `llama-server` can use. One that is built for none silently computes on the processor."""
    return tuple(
        Gpu(int(total) * _MIB, int(free) * _MIB, f"{name} ({kind})", kind)
        for kind, name, total, free in _LISTED.findall(_list_of(server, tuple(sorted(environment.items()))))
    )


def _may_have_others(environment: Mapping[str, str]) -> bool:
    """Whether the kernel has a GPU, or the user names one: the question costs a start of the server."""
    return not {_VULKAN_VISIBLE, LLAMA_DEVICE}.isdisjoint(environment) or any(map(os.path.exists, _WITH_A_GPU))


@cache
def _list_of(server: str, environment: tuple[tuple[str, str], ...]) -> str:
    try:
        listed = subprocess.run(  # noqa: S603
            [server, "--list-devices"],
            check=False,
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            env=dict(environment),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("llama_server_without_gpu", program=server, error=str(error))
        return ""
    return listed.stdout


@cache
def _asked(program: str, name: str | None) -> Gpu | None:
    """The GPU that nvidia-smi reports. `name`: its number or UUID; None: the first."""
    command = [
        program,
        "--query-gpu=memory.total,memory.free",
        "--format=csv,noheader,nounits",
        *([f"--id={name}"] if name else []),
    ]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_ANSWER_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("gpu_not_known", error=str(error))
        return None
    gpu = parsed(answer.stdout)
    if gpu is None:
        _log.warning("gpu_not_known", exit_code=answer.returncode, said=(answer.stderr or answer.stdout).strip()[-300:])
    return gpu


def parsed(output: str) -> Gpu | None:
    """The GPU of nvidia-smi's first line, `81559, 81079` in MiB. None where the line is another."""
    try:
        total, free = (int(part) * _MIB for part in output.splitlines()[0].split(","))
    except (IndexError, ValueError):
        return None
    return Gpu(total, free)
