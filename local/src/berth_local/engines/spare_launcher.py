"""Starts llama.cpp from a spare process, which is begun before anybody asks for a model.

An interpreter and the engine's library take a quarter of a second to load, and a caller waits for it. The spare has
loaded all that does not depend on the model. A launch takes it, and another is begun a little later, when the engine's
start no longer needs the processors.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from berth_local.engines import llama_server, spare
from berth_local.engines.variables import LLAMACPP_ENVIRONMENT
from berth_local.node.output import OutputBuffer
from berth_local.node.processes import ChildProcess, Processes

if TYPE_CHECKING:
    from berth_local.node.pods import Report

_log = structlog.get_logger(__name__)

REPLACE_SECONDS = 1.0
"""The wait between a launch and the begin of the next spare."""

_SPARED = "llamacpp"
"""The engine whose starts are short enough for the time to matter."""


class SpareLauncher:
    """Starts `berth-launch` in child processes. llama.cpp is the `llama-server` on PATH, else the wheel xllamacpp."""

    def __init__(
        self,
        processes: Processes,
        environment: Mapping[str, str] = os.environ,
        replace_seconds: float = REPLACE_SECONDS,
    ) -> None:
        self._processes = processes
        self._environment = {**LLAMACPP_ENVIRONMENT, **environment}
        self._replace_seconds = replace_seconds
        self._spare: ChildProcess | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._closed = False
        uses_wheel = shutil.which(llama_server.PROGRAM, path=self._environment.get("PATH")) is None
        options = [spare.ENGINE_OPTION] if uses_wheel else []
        self._command = [sys.executable, "-m", "berth_local.engines.spare", *options]

    @property
    def spare(self) -> ChildProcess | None:
        """The process that waits for the next launch."""
        return self._spare

    async def prepare(self) -> None:
        """Begins the spare, unless there is one. Raises OSError if no process can be started."""
        if self._spare is None and not self._closed:
            self._spare = await self._begin(OutputBuffer())

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: "Report"
    ) -> ChildProcess:
        """Gives the order to the spare, if it is for llama.cpp and one waits; else to a process that it starts.

        `arguments`: those of `berth-launch`.
        """
        if arguments[:1] == [_SPARED]:
            # It takes a fifth of a second to load. The first spare is begun before that.
            from berth_local.engines.slots import slots, with_slots  # noqa: PLC0415

            arguments = with_slots(arguments, slots())
        ordered = spare.order(arguments, {**LLAMACPP_ENVIRONMENT, **environment})
        taken = self._take() if arguments[:1] == [_SPARED] else None
        if taken:
            taken.output = output
            with suppress(ConnectionError):  # somebody killed the spare while it waited
                await taken.write(ordered)
                return taken
        child = await self._begin(output)
        with suppress(ConnectionError):  # its exit code and output tell why
            await child.write(ordered)
        return child

    async def close(self) -> None:
        """Ends the spare."""
        self._closed = True
        if self._replacing:
            self._replacing.cancel()
            await asyncio.gather(self._replacing, return_exceptions=True)
        if self._spare:
            self._spare.kill()
            await self._spare.wait()
            self._spare = None

    def _take(self) -> ChildProcess | None:
        taken, self._spare = self._spare, None
        if self._replacing is None:
            self._replacing = asyncio.create_task(self._replace(), name="replace the spare process")
        return taken

    async def _replace(self) -> None:
        try:
            await asyncio.sleep(self._replace_seconds)
            await self.prepare()
        except OSError as error:
            _log.warning("no_spare_process", error=str(error))
        finally:
            self._replacing = None

    async def _begin(self, output: OutputBuffer) -> ChildProcess:
        return await self._processes.start(self._command, self._environment, output, stdin=True)
