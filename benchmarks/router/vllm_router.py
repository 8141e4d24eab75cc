"""vllm-router, the load balancer of the vLLM project, in an environment of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.contenders import free_port
from benchmarks.router.contenders import MOST_STREAMS, VLLM_ROUTER, ContenderStart, Place, Running, process

VERSION = "0.1.17"


def installed() -> Path:
    """The program. Installs it (100 MB) unless it is there. Raises RuntimeError with the installer's words."""
    folder = _cache() / f"vllm-router-{VERSION}"
    program = folder / "bin/vllm-router"
    if not program.exists():
        print(f"installing vllm-router {VERSION} from PyPI into {folder}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        for command in _commands(folder):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                shutil.rmtree(folder, ignore_errors=True)
                raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")
    return program


def _cache() -> Path:
    """Berth's cache folder, the same as that of the scripts."""
    if stated := os.environ.get("BERTH_CACHE"):
        return Path(stated)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth"


def _commands(folder: Path) -> list[list[str]]:
    """The command that makes the environment. uv is there if `uv run` has started this."""
    package = f"vllm-router=={VERSION}"
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), package]
        return [[uv, "venv", "--quiet", "--python", sys.executable, str(folder)], install]
    return [[sys.executable, "-m", "venv", str(folder)], [str(folder / "bin/pip"), "install", "--quiet", package]]


def vllm_router(program: Path) -> ContenderStart:
    """Starts it before one engine, with its own defaults except for the number of requests at once."""

    @asynccontextmanager
    async def start(place: Place) -> AsyncGenerator[Running]:
        port, metrics_port = free_port(), free_port()
        command = [
            *(str(program), "--worker-urls", f"http://127.0.0.1:{place.upstream_port}", "--policy", "round_robin"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)),
            *("--max-concurrent-requests", str(MOST_STREAMS), "--log-level", "warning"),
        ]
        async with process(VLLM_ROUTER, command, port, place) as running:
            yield running

    return start
