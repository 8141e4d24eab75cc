"""Starts an engine from a Python environment of its own, which it installs at the first start."""

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from berth_local.engines.discovery import PythonEngine
from berth_local.engines.python_environment import BEGINNING, is_complete
from berth_local.engines.variables import ENGINE_ENVIRONMENT, OFFLINE_ENVIRONMENT
from berth_local.node.model_files import model_of
from berth_local.node.output import OutputBuffer
from berth_local.node.pods import Report
from berth_local.node.processes import ChildProcess, Processes
from berth_runtime.engines.vllm import COMPILE_CACHE

_log = structlog.get_logger(__name__)

_DIGEST_LENGTH = 16


class EnvironmentLauncher:
    """Starts one engine from its Python environment. `compiled`: where it keeps what it compiles."""

    def __init__(self, processes: Processes, engine: PythonEngine, compiled: Path) -> None:
        self._processes = processes
        self._engine = engine
        self._compiled = compiled

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        """Starts the engine. If it is not to be installed, the returned child is the installer, which has failed.

        That is so where it cannot be, and where the model's files are broken.
        """
        directory, packages = self._engine.directory, self._engine.packages
        if packages and not is_complete(directory, packages):
            _log.info("installing_engine", packages=list(packages.requirements), directory=str(directory))
            command = [
                sys.executable,
                "-m",
                "berth_local.engines.python_environment",
                str(directory),
                packages.to_json(),
                *arguments,
            ]
            installer = await self._processes.start(command, environment, output)
            if await _reported(installer, f"installing {arguments[0]}, once", report):
                return installer
        path = f"{directory / 'bin'}{os.pathsep}{environment.get('PATH', os.defpath)}"
        command = [sys.executable, "-m", "berth_runtime.main", *arguments]
        added = {COMPILE_CACHE: str(self._compile_folder(arguments)), "PATH": path}
        return await self._processes.start(
            command, {**ENGINE_ENVIRONMENT, **OFFLINE_ENVIRONMENT, **environment, **added}, output
        )

    def _compile_folder(self, arguments: Sequence[str]) -> Path:
        """Each model and each version of an engine has its own: compiled code of one is nothing for another."""
        version = self._engine.packages.to_json() if self._engine.packages else str(self._engine.directory)
        return self._compiled / f"{arguments[0]}-{_digest(version)}" / _digest(model_of(arguments))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


async def _reported(installer: ChildProcess, what: str, report: Report) -> int:
    """Reports what the installer says; its exit code. Kills it if the caller is cancelled."""
    telling = asyncio.create_task(_report_last_lines(installer.output, what, report), name="report an installation")
    try:
        return await installer.wait()
    finally:
        telling.cancel()
        installer.kill()


async def _report_last_lines(output: OutputBuffer, what: str, report: Report) -> None:
    """Reports the installer's last line each time, once it has said what it installs, and how much that is."""
    begun = False
    async for lines in output.follow(output.end):
        for line in lines:
            if not begun and line.startswith(BEGINNING):
                begun = True
                await report(": ".join((what, *line.split(": ")[1:])))
        if begun and not lines[-1].startswith(BEGINNING):
            await report(f"{what}: {lines[-1].strip()}")
