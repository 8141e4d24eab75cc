"""Makes the clients' environments, and runs their programs."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import NODE, PYTHON, ForeignClient
from tests.e2e.clients.engines import CACHE, name_in

INSTALL_SECONDS = 900
RUN_SECONDS = 1200
"""For one client. vLLM starts anew in it, which takes minutes on a busy machine."""

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


async def run(client: ForeignClient, engine: Backend, features: Sequence[str], url: str, home: Path) -> Outcomes:
    """Runs the program of a client against a Berth with an engine, for these features.

    `home`: the client's own, so that it finds nothing of a user.
    """
    if not features:
        return {}
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    environment = _without_project() | {
        "BERTH_COMMAND": str(Path(sys.executable).with_name("berth")),
        "BERTH_MODEL": name_in(engine, client.model),
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
        *features,
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
        return dict.fromkeys(features, f"no end after {RUN_SECONDS} s")
    lines = [json.loads(line) for line in said.decode().splitlines() if line.startswith('{"feature"')]
    ended = f"ended with {process.returncode}: {complained.decode()[-1000:]}"
    return dict.fromkeys(features, ended) | {line["feature"]: line["error"] for line in lines}


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
