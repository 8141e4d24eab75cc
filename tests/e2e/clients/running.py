"""Makes the clients' environments, and runs their programs."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from berth_local.cli.sample_model import FILE, MODEL
from tests.e2e.clients.catalog import FOLDER, NODE, PYTHON, TOOLS_MODEL, ForeignClient
from tests.e2e.wide_model import make_wide_model

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("BERTH_CACHE") or Path.home() / ".cache/berth")
INSTALL_SECONDS = 900
RUN_SECONDS = 600

OPTIONS = ("--max-tokens", "256")
"""Of `berth up`. Without a limit the small model fills its context with the answer to a client that states none."""

Outcomes = Mapping[str, str | None]
"""What came of each feature: None, or the client's own error."""


def install() -> None:
    """Makes the environments as the lock files say; what is there already costs a second."""
    uv = shutil.which("uv") or "uv"
    for group in ("newest", "older"):
        subprocess.run(
            [uv, "sync", "--quiet", "--frozen", "--only-group", group, "--project", PYTHON],
            check=True,
            timeout=INSTALL_SECONDS,
            env=_without_project() | {"UV_PROJECT_ENVIRONMENT": str(_python_environment(group))},
        )
    lock = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    installed = NODE / "node_modules" / ".berth-lock"
    if not installed.is_file() or installed.read_text() != lock:
        subprocess.run(
            # Not `npm ci`: that refuses a lock file without the packages for other systems, which a mirror may lack.
            [_node_programs() / "npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel", "error"],
            check=True,
            timeout=INSTALL_SECONDS,
            cwd=NODE,
            env=_without_project() | {"PATH": f"{_node_programs()}:{os.environ['PATH']}"},
        )
        installed.write_text(lock)


def make_models(store: Path) -> None:
    """Puts the models that clients ask into a store."""
    sample = CACHE / "clients" / "models"
    subprocess.run([sys.executable, ROOT / "scripts/sample-model", sample], check=True, timeout=INSTALL_SECONDS)
    make_wide_model(sample / MODEL / FILE, store)
    (store / TOOLS_MODEL).mkdir(parents=True)
    subprocess.run(
        [
            Path(sys.executable).with_name("gguf-new-metadata"),
            "--chat-template-file",
            FOLDER / "tools.jinja",
            sample / MODEL / FILE,
            store / TOOLS_MODEL / "model.gguf",
        ],
        check=True,
        timeout=INSTALL_SECONDS,
        capture_output=True,
    )


async def run(client: ForeignClient, url: str, home: Path) -> Outcomes:
    """Runs the program of a client against a Berth. `home`: the client's own, so that it finds nothing of a user."""
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    environment = _without_project() | {
        "BERTH_COMMAND": str(Path(sys.executable).with_name("berth")),
        "BERTH_MODEL": client.model,
        "BERTH_URL": url,
        "HOME": str(home),
        "NO_PROXY": "127.0.0.1,localhost",
        "PATH": path_with_programs(),
    }
    interpreter = (
        _node_programs() / "node"
        if client.environment == "node"
        else _python_environment(client.environment) / "bin/python"
    )
    process = await asyncio.create_subprocess_exec(
        interpreter,
        client.file,
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, complained = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return dict.fromkeys(client.features, f"no end after {RUN_SECONDS} s")
    lines = [json.loads(line) for line in said.decode().splitlines() if line.startswith('{"feature"')]
    ended = f"ended with {process.returncode}: {complained.decode()[-1000:]}"
    return dict.fromkeys(client.features, ended) | {line["feature"]: line["error"] for line in lines}


def path_with_programs() -> str:
    """PATH, with the programs from npm before it, and Node, which runs them."""
    return f"{NODE / 'node_modules/.bin'}:{_node_programs()}:{os.environ['PATH']}"


def _python_environment(group: str) -> Path:
    return CACHE / "clients" / group


def _node_programs() -> Path:
    """Where node and npm are: a Python package brings them."""
    return _python_environment("newest") / "bin"


def _without_project() -> dict[str, str]:
    """The environment without what belongs to Berth's own, to a proxy, or to a user of these clients."""
    unwanted = ("VIRTUAL_ENV", "BERTH_", "OPENAI_", "ANTHROPIC_", "OLLAMA_", "CLAUDE", "CODEX_", "OPENCODE", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
