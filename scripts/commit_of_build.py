"""Puts the commit that a wheel is built from into it, where `berth --version` finds it."""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "commit.txt"
"""At the root of a source distribution, which has no repository, and in the package berth_local of a wheel."""


class CommitOfBuild(BuildHookInterface[Any]):
    """Writes the file beside the build, and adds it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the build. An editable one has none: what runs is the checkout, and that says its commit itself."""
        if version == "editable":
            return
        root = Path(self.root)
        commit = commit_of(root)
        if not commit:
            return
        written = Path(self.directory) / FILE
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(f"{commit}\n")
        inside = FILE if self.target_name == "sdist" else f"berth_local/{FILE}"
        build_data["force_include"][str(written)] = inside

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """After the build."""
        (Path(self.directory) / FILE).unlink(missing_ok=True)


def commit_of(root: Path) -> str:
    """The commit of the checkout, or of the one that a source distribution was made from. Empty: nobody knows."""
    if (root / FILE).is_file():
        return (root / FILE).read_text().strip()
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
