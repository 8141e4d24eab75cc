"""The first hour of a newcomer, typed by scripts/first-hour: `python -m tests.e2e.first_hour` writes the page of it."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from berth_local.cli.sample_model import FILE, MODEL
from tests.hub.server import HubServer
from tests.unit.addresses import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/first-hour.md"
REPOSITORY = "bartowski/SmolLM2-135M-Instruct-GGUF"
SECONDS = 600


def typed(source: Path, store: Path, environment: Mapping[str, str]) -> str:
    """What the script prints: the page. `source`: what it clones; `store`: a model store with the sample.

    Raises CalledProcessError, with what was printed, if a command of the page fails.
    """
    with HubServer() as hub:
        file = store / MODEL / FILE
        hub.repository(REPOSITORY).commit({"SmolLM2-135M-Instruct-Q4_K_M.gguf": file, "README.md": b"# SmolLM2\n"})
        variables = {**environment, "HF_ENDPOINT": hub.url, "SOURCE": str(source), "PORT": str(free_port())}
        done = subprocess.run(
            [source / "scripts/first-hour"],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    if done.returncode:
        raise AssertionError(f"{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Writes the page."""
    with tempfile.TemporaryDirectory() as store:
        subprocess.run([ROOT / "scripts/sample-model", store], check=True)
        PAGE.write_text(typed(ROOT, Path(store), os.environ).rstrip() + "\n")


if __name__ == "__main__":
    main()
