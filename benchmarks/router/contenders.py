"""The contenders that pass requests on, each as a process of its own, alone on one processor."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.chat import ready_at
from benchmarks.contenders import free_port
from benchmarks.router.traffic import KEY, KEY_NAME, MODELS, OTHER_KEY, OTHER_KEY_NAME, PATH, plain_body

NGINX, SPLICE, BERTH, VLLM_ROUTER = "nginx", "bare splice", "Berth", "vllm-router"

MOST_STREAMS = 10_000
"""The connections that every contender is set up to have open at once."""

_STARTING_SECONDS = 60
_ENDING_SECONDS = 20
_ROOT = Path(__file__).parents[2]


class Running(NamedTuple):
    """A contender that runs."""

    name: str
    port: int
    pid: int


class Place(NamedTuple):
    """Where a contender runs."""

    folder: Path
    """The folder for its files."""
    upstream_port: int
    processor: int


ContenderStart = Callable[[Place], AbstractAsyncContextManager[Running]]
"""Starts a contender, which ends with the context."""


@asynccontextmanager
async def process(
    name: str,
    command: Sequence[str],
    port: int,
    place: Place,
    health: str = "/health",
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator[Running]:
    """A server that answers GET `health` by now, with `settings` in its environment.

    Raises RuntimeError with the server's last words where it does not come up.
    """
    log = place.folder / "log"
    running = await _start(command, place.processor, log, {**os.environ, **(settings or {})})
    try:
        async with aiohttp.ClientSession() as session:
            answering = asyncio.create_task(ready_at(session, f"http://127.0.0.1:{port}{health}"))
            ended = asyncio.create_task(running.wait())
            await asyncio.wait({answering, ended}, return_when=asyncio.FIRST_COMPLETED, timeout=_STARTING_SECONDS)
            came_up = answering.done()
            answering.cancel()
            ended.cancel()
        if not came_up:
            last_words = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name} did not come up: {' '.join(command)}\n{last_words}")
        yield Running(name, port, running.pid)
    finally:
        await _end(running)


async def _start(
    command: Sequence[str],
    processor: int,
    log: Path,
    environment: Mapping[str, str],
) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            # If this process ends, however it ends, its children end too.
            *("setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(processor), *command),
            env=environment,
            cwd=_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


async def _end(running: asyncio.subprocess.Process) -> None:
    if running.returncode is None:
        running.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(running.wait(), _ENDING_SECONDS)
        except TimeoutError:
            running.kill()
            await running.wait()


def module(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of this benchmark."""
    return [sys.executable, "-m", f"benchmarks.router.{name}", *map(str, arguments)]


@asynccontextmanager
async def splice(place: Place) -> AsyncGenerator[Running]:
    """Two sockets and nothing between them: it costs what uvloop itself costs."""
    port = free_port()
    async with process(SPLICE, module("splice", port, place.upstream_port), port, place) as running:
        yield running


@asynccontextmanager
async def berth(place: Place) -> AsyncGenerator[Running]:
    """Berth with everything on: keys, the lookup of the model among several, leases, stats and metrics."""
    port = free_port()
    command = module("berth", f"http://127.0.0.1:{place.upstream_port}")
    async with process(BERTH, command, port, place, "/readyz", _berth_settings(place.folder, port)) as running:
        await _deploy_all(port)
        yield running


def _berth_settings(folder: Path, port: int) -> dict[str, str]:
    """The router's environment, and the files that it names."""
    keys, store = folder / "keys", folder / "store"
    keys.mkdir(parents=True)
    (keys / KEY_NAME).write_text(KEY)
    (keys / OTHER_KEY_NAME).write_text(OTHER_KEY)
    for model in MODELS:
        file = store / Path(model).name / "model.gguf"
        file.parent.mkdir(parents=True)
        file.touch()
    bounds = ("BERTH_MAX_REQUESTS_PER_MODEL", "BERTH_MAX_REQUESTS_PER_KEY", "BERTH_MAX_CONNECTIONS")
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "POD_NAME": "router-1",
        "BERTH_MODEL_STORE": str(store),
        "BERTH_API_KEYS_DIR": str(keys),
        "BERTH_API_KEY_SCOPES": f'{{"{KEY_NAME}": ["inference"], "{OTHER_KEY_NAME}": ["inference", "manage"]}}',
        "BERTH_STATS_CONFIG_MAP": "stats",
        "BERTH_DRAIN_SECONDS": "5",
        "BERTH_LAME_DUCK_SECONDS": "0",
        **dict.fromkeys(bounds, str(2 * MOST_STREAMS)),  # here one client asks for all there is
    }


async def _deploy_all(port: int) -> None:
    """Asks for each model, so that the router creates its deployment. Raises RuntimeError."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=_STARTING_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        for model in MODELS:
            try:
                async with session.post(f"http://127.0.0.1:{port}{PATH}", data=plain_body(model)) as response:
                    if response.status != 200:
                        raise RuntimeError(f"Berth answered with status {response.status}: {await response.text()}")
            except (aiohttp.ClientError, TimeoutError) as error:
                raise RuntimeError(f"Berth did not answer for {model}: {error or type(error).__name__}") from error


@asynccontextmanager
async def nginx(place: Place) -> AsyncGenerator[Running]:
    """nginx as one would set it up before engines.

    That is one worker, connections kept on both sides, and what comes passed on at once.
    """
    port, program = free_port(), nginx_program()
    if program is None:
        raise RuntimeError("nginx is not on PATH: apt-get install nginx-light")
    command = [program, "-p", str(place.folder), "-c", str(_nginx_configuration(place, port)), "-e", "stderr"]
    async with process(NGINX, command, port, place) as running:
        yield running


def _nginx_configuration(place: Place, port: int) -> Path:
    """Its configuration file. Its worker inherits how many files it may open."""
    user = "user root;" if os.getuid() == 0 else ""  # else its worker is nobody, who may not enter the folder
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"  {kind}_temp_path {place.folder}/{kind};" for kind in kinds)
    text = f"""{user}
daemon off;
worker_processes 1;
pid {place.folder}/pid;
error_log stderr warn;
events {{ worker_connections {2 * MOST_STREAMS}; }}
http {{
  access_log off;
{temporary}
  keepalive_requests 1000000000;
  upstream engine {{
    server 127.0.0.1:{place.upstream_port};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""
    place.folder.mkdir(parents=True, exist_ok=True)
    file = place.folder / "nginx.conf"
    file.write_text(text)
    return file


def nginx_program() -> str | None:
    """nginx's program. Debian puts it where only root's PATH finds it."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def nginx_version(program: str) -> str:
    """The version that the program prints."""
    printed = subprocess.run([program, "-v"], check=True, capture_output=True, text=True).stderr
    return found[1] if (found := re.search(r"nginx/(\S+)", printed)) else printed.strip()
