"""Requests as fast as they are answered, by wrk, which itself costs little."""

import asyncio
import shutil
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.router.traffic import KEY, PATH, plain_body

_SCRIPT = Path(__file__).with_name("ask.lua")


class WrkError(Exception):
    """wrk could not measure, or not all answers had status 200. The message says what wrk printed."""


class WrkLoad(NamedTuple):
    """The result of one run."""

    requests: int
    seconds: float
    p50_us: float
    """The median time of an answer, in microseconds."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


class Wrk:
    """wrk with the request of `traffic`. `folder` is for its body."""

    def __init__(self, folder: Path) -> None:
        self._body = folder / "request.json"
        self._body.write_bytes(plain_body())

    async def run(self, port: int, clients: int, seconds: int) -> WrkLoad:
        """Lets so many clients ask the server at the address, each on one connection. Raises WrkError."""
        process = await asyncio.create_subprocess_exec(
            *("wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{seconds}s", "--timeout", "10s"),
            *("--script", str(_SCRIPT), f"http://127.0.0.1:{port}{PATH}", "--", str(self._body), KEY),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise WrkError(f"wrk ended with {process.returncode}: {output.decode(errors='replace')}")
        return load_of(output.decode())


def wrk_missing() -> str | None:
    """How to get wrk, if it is not on PATH."""
    return None if shutil.which("wrk") else "wrk makes the load, and is not on PATH: apt-get install wrk"


def load_of(output: str) -> WrkLoad:
    """What ask.lua prints as the last line of wrk's output. Raises WrkError if it is missing, or requests failed."""
    try:
        result = orjson.loads(output.rstrip().rsplit("\n", 1)[-1])
        load, failed = WrkLoad(result["requests"], result["seconds"], result["p50_us"]), result["failed"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise WrkError(f"wrk printed no result: {output}") from None
    if failed or not load.requests:
        raise WrkError(f"{failed} of {load.requests} requests failed: {output}")
    return load
