"""The processes of engines, and the one that waits for the first model.

That one is begun before the modules of the server are loaded, which takes as long as its own start. So this module
loads few others.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_local.engines.spare_launcher import SpareLauncher
from berth_local.node.environment import environment_here
from berth_local.node.processes import Processes


@dataclass(frozen=True, slots=True)
class EngineProcesses:
    """What starts processes."""

    processes: Processes
    llamacpp: SpareLauncher


@asynccontextmanager
async def engine_processes() -> AsyncGenerator[EngineProcesses]:
    """Begins the process for the first model. After the context none is left. Raises OSError if none can start."""
    async with Processes() as processes:
        launcher = SpareLauncher(processes, environment_here({}, Path(os.devnull)))
        try:
            await launcher.prepare()
            yield EngineProcesses(processes, launcher)
        finally:
            await launcher.close()
