"""Builds the program that asks kstatus and Argo CD's interpreter, and asks it."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import missing

SOURCE = Path(__file__).parent / "judges"
CACHE = Path(os.environ.get("BERTH_CACHE") or Path.home() / ".cache/berth")


@dataclass(frozen=True)
class Verdict:
    """What each takes an object for: kstatus and Flux in kstatus' words, Argo CD in its own."""

    kstatus: str
    flux: str
    argo: str


def judges(objects: Sequence[Mapping[str, Any]], scripts: Mapping[str, str]) -> list[Verdict]:
    """A verdict on each object. `scripts`: those of Argo CD, by kind."""
    asked = json.dumps({"scripts": scripts, "objects": objects})
    done = subprocess.run([_program()], input=asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [Verdict(**each) for each in json.loads(done.stdout)]


def _program() -> Path:
    """The program, compiled once for what is in its folder and kept.

    It takes half a minute of a processor where scripts/cluster has compiled Kubernetes before, otherwise some minutes.
    """
    go = shutil.which("go")
    if go is None:
        missing("go", "see https://go.dev/doc/install")
    content = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    program = CACHE / f"judges-{hashlib.sha256(content).hexdigest()[:16]}" / "judges"
    if not program.exists():
        _build(str(go), program)
    return program


def _build(go: str, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        # The flags of scripts/test-cluster/build.sh: what that has compiled is not compiled again.
        flags = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{folder}/judges", "."]
        environment = os.environ | flags
        done = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        Path(folder, "judges").rename(program)
