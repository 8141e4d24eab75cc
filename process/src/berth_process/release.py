"""Which release of Berth this is: its version, and the commit that it was made from."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "berth-llm"
"""The wheel with all of Berth's packages. In a checkout and in images each package is one of its own."""

_SECONDS = 2.0


def release(package: str = "berth-process") -> str:
    """The version of a package of Berth, or of the wheel that has them all."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return version(package)


def commit(folder: Path) -> str | None:
    """The commit that a package was made from, `-dirty` if more was changed. None: nobody knows.

    `folder`: the package's. A wheel has it in a file there; a checkout is asked.
    """
    try:
        return (folder / "commit.txt").read_text().strip() or None
    except OSError:
        pass
    if not any((parent / ".git").exists() for parent in folder.parents[:4]):
        return None
    asked = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
