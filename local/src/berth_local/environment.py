"""Runs an engine from a Python environment of its own, which is made on first use.

    python -m berth_local.environment DIRECTORY [REQUIREMENT...] -- ARGUMENT...

The environment is made by uv in DIRECTORY with the requirements, as prebuilt packages only, unless that was done before; without any, it is
somebody else's and must be there. Then this process is `berth-launch` with the arguments, which finds the engine there. What uv says goes
to the output, where `berth logs` shows it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uv import find_uv_bin

import berth_runtime.main as launcher
from berth_runtime.errors import EngineNotInstalledError, LaunchError

_COMPLETE = "berth-complete"
"""A file of an environment in which all has been installed. Without it, the environment is made anew."""


def is_complete(directory: Path, requirements: Sequence[str]) -> bool:
    """Whether the environment has these requirements."""
    try:
        return (directory / _COMPLETE).read_text() == _told(requirements)
    except OSError:
        return False


def main() -> int:
    """Makes the environment and becomes the engine; returns only where that fails, with the exit code."""
    at = sys.argv.index("--")
    directory, requirements, arguments = Path(sys.argv[1]), sys.argv[2:at], sys.argv[at + 1 :]
    if requirements:
        try:
            ensure(directory, requirements)
        except LaunchError as error:
            launcher.report(error)
            return error.exit_code
    os.environ["PATH"] = f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return launcher.main(arguments)


def ensure(directory: Path, requirements: Sequence[str]) -> None:
    """Makes the environment, unless it is there; waits for another process that makes it. Raises EngineNotInstalledError."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        if is_complete(directory, requirements):
            return
        shutil.rmtree(directory, ignore_errors=True)
        print(f"installing {', '.join(requirements)} into {directory}: once, and it takes some minutes", file=sys.stderr, flush=True)
        _uv("venv", "--python", sys.executable, str(directory))
        _uv("pip", "install", "--python", str(directory / "bin/python"), "--only-binary", ":all:", *requirements)
        (directory / _COMPLETE).write_text(_told(requirements))


@contextmanager
def _alone(directory: Path) -> Generator[None]:
    """Holds the environment against other processes; the kernel lets go of it with this one."""
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str) -> None:
    done = subprocess.run([find_uv_bin(), *arguments], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)  # noqa: S603
    if done.returncode:
        raise EngineNotInstalledError(f"uv {arguments[0]} ended with code {done.returncode}; `berth logs` shows what it said")


def _told(requirements: Sequence[str]) -> str:
    return "\n".join(requirements)


if __name__ == "__main__":
    sys.exit(main())
