"""The real `berth-download`, as a process of its own that starts from one with everything imported."""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["berth_hub.main", "berth_hub.download"])

ENVIRONMENT = {"HF_TOKEN": "hf_verysecret", "BERTH_MIN_FREE_BYTES": "0"}


def nothing() -> None:
    """Changes nothing."""


class Running:
    """One attempt. Its output and its termination message go to files beside the store.

    `prepare`, a function of a module, is called in the process before the program.
    """

    def __init__(
        self,
        store: Path,
        endpoint: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] = nothing,
    ) -> None:
        self.output = store.parent / f"{store.name}.log"
        self._message = store.parent / f"{store.name}.termination"
        self._message.unlink(missing_ok=True)
        variables = {
            **ENVIRONMENT,
            "HF_ENDPOINT": endpoint,
            "BERTH_TERMINATION_LOG": str(self._message),
            **(environment or {}),
        }
        command = [*arguments, "--store", str(store), "--host", "127.0.0.1"]
        if "--port" not in command:
            command += ["--port", "0"]
        self.process = _processes.Process(target=_main, args=(command, variables, str(self.output), prepare))
        self.process.start()

    def ended(self) -> int:
        """The exit code, as soon as there is one; negative for a signal."""
        self.process.join(60)
        assert self.process.exitcode is not None, self.output.read_text()
        return self.process.exitcode

    def kill(self) -> None:
        """As the kernel ends what it kills for want of memory."""
        self.process.kill()
        self.process.join(60)

    def message(self) -> dict[str, Any]:
        """The termination message."""
        return json.loads(self._message.read_text())


def run(
    store: Path, endpoint: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """One attempt to its end: exit code and termination message."""
    running = Running(store, endpoint, arguments, environment)
    return running.ended(), running.message()


def _main(arguments: list[str], environment: dict[str, str], output: str, prepare: Callable[[], None]) -> None:
    from berth_hub.main import main

    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.environ.update(environment)
    sys.argv = ["berth-download", *arguments]
    prepare()
    sys.exit(main())
