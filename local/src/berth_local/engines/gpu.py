"""The GPU that models of this machine compute on: the first of NVIDIA's, by its `nvidia-smi`."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import structlog

_log = structlog.get_logger(__name__)

_PROGRAM = "nvidia-smi"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_ANSWER_SECONDS = 20
"""Without persistence mode the driver starts the GPU before it answers, which takes seconds."""

_MIB = 1 << 20


class Gpu(NamedTuple):
    """A GPU's memory in bytes."""

    total: int
    free: int
    """What was free when this process first asked, before it started any model."""


def first_gpu(environment: Mapping[str, str] = os.environ) -> Gpu | None:
    """The first GPU that CUDA_VISIBLE_DEVICES lets engines see. None: there is none, or no driver knows one."""
    visible = environment.get(_VISIBLE)
    program = shutil.which(_PROGRAM, path=environment.get("PATH"))
    if program is None or visible == "":
        return None
    return _asked(program, visible.split(",")[0].strip() if visible else None)


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
