"""The program of a spare process: `berth-launch`, begun before anybody knows for which model.

    python -m berth_local.engines.spare [--engine]

It loads all that a start needs but the model. Then it reads one line from its standard input, the order: a JSON object
with the `arguments` of `berth-launch` and the `environment`. From then on it is `berth-launch`, with the same checks,
output, exit codes and termination message. With `--engine` it has loaded llama.cpp too, and becomes `llama-server`
without another program. If its input ends without an order, it ends.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import berth_runtime.main as berth_launch
from berth_local.engines import llama_server
from berth_runtime.errors import EngineNotInstalledError

ENGINE_OPTION = "--engine"


def order(arguments: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """The order for a spare, as the line that it reads."""
    return json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode() + b"\n"


def main() -> int:
    """Waits for the order and carries it out. Returns only if no engine can be started: the exit code."""
    become = _becoming() if ENGINE_OPTION in sys.argv[1:] else berth_launch.become
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 0
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    ordered: dict[str, Any] = json.loads(line)
    os.environ.clear()
    os.environ.update(ordered["environment"])
    try:
        return berth_launch.main(ordered["arguments"], become)
    except RuntimeError as error:
        return llama_server.failed(error)


def _becoming() -> Callable[[Sequence[str]], NoReturn]:
    """Loads llama.cpp. Returns what turns this process into the engine; llama.cpp needs no other program for that."""
    library: Any = None
    missing: EngineNotInstalledError | None = None
    try:
        library = llama_server.load()
    except EngineNotInstalledError as error:
        missing = error

    def become(call: Sequence[str]) -> NoReturn:
        if call[0] != llama_server.PROGRAM:
            berth_launch.become(call)
        if missing:
            raise missing
        llama_server.serve(library, llama_server.parse(call[1:]))

    return become


if __name__ == "__main__":
    sys.exit(main())
