"""Containers whose program needs nothing prepared: it is started when it is wanted."""

import sys
from collections.abc import Mapping, Sequence

from berth_local.pods import Report
from berth_local.process_output import Output
from berth_local.processes import ChildProcess, Processes


class PythonProgram:
    """A module of this Python, run as a program."""

    def __init__(self, processes: Processes, module: str) -> None:
        self._processes = processes
        self._module = module

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: Output, report: Report
    ) -> ChildProcess:
        """See berth_local.pods.Launcher."""
        return await self._processes.start([sys.executable, "-m", self._module, *arguments], environment, output)
