"""Containers whose program needs nothing prepared: it is started when it is wanted."""

import sys
from collections.abc import Mapping, Sequence

from berth_local.node.output import OutputBuffer
from berth_local.node.pods import Report
from berth_local.node.processes import ChildProcess, Processes


class PythonProgram:
    """A module of this Python, run as a program."""

    def __init__(self, processes: Processes, module: str) -> None:
        self._processes = processes
        self._module = module

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        """Starts the module. It needs nothing installed, so there is nothing to report."""
        return await self._processes.start([sys.executable, "-m", self._module, *arguments], environment, output)
