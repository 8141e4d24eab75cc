"""Child processes that do not outlive Berth, however it ends.

Each child is started by a supervisor (`supervisor.py`). The supervisor watches the lifeline: a pipe whose writing end
nobody but this process has.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from berth_local.node.output import OutputBuffer

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LAST_OUTPUT_SECONDS = 1.0
_DYING_SECONDS = 5.0
"""How long `Processes` waits at its end for killed processes to be gone."""


class ChildProcess:
    """A running child and its output. `pid` is the pid of its supervisor."""

    def __init__(self, process: asyncio.subprocess.Process, reader: "_OutputReader") -> None:
        self._process = process
        self._reader = reader
        self.pid = process.pid

    @property
    def output(self) -> OutputBuffer:
        """The buffer that its stdout and stderr go to. It can be replaced while the child runs."""
        return self._reader.output

    @output.setter
    def output(self, output: OutputBuffer) -> None:
        self._reader.output = output

    async def wait(self) -> int:
        """Waits until the child and all that it started are gone. The exit code; 128 + N for signal N."""
        code = await self._process.wait()
        if code < 0:
            # Somebody killed the supervisor. The kernel killed its child; what the child started is left to us.
            _kill_session(self.pid)
        await self._reader.ended(within=_LAST_OUTPUT_SECONDS)
        return code if code >= 0 else 128 - code

    async def write(self, data: bytes) -> None:
        """Writes to the child's standard input. Raises ConnectionError if the child has ended or has no such input."""
        if self._process.stdin is None:
            raise ConnectionResetError(f"process {self.pid} has no standard input")
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    def terminate(self) -> None:
        """Asks the child's process group to end (SIGTERM)."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Kills the child and all that it started."""
        # This tells the supervisor to kill all below it. To kill the supervisor would end the child and nothing else.
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    async def stop(self, grace_seconds: float) -> int:
        """Asks the child to end, and kills it after the grace. The exit code."""
        self.terminate()
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            return await self.wait()


class _OutputReader(asyncio.Protocol):
    """Reads a child's output from a pipe. The child's descendants may hold the pipe open after the child has ended."""

    def __init__(self, output: OutputBuffer) -> None:
        self.output = output
        self._ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Adds what asyncio has read to the output."""
        self.output.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the last line: nobody holds the pipe's writing end any more."""
        self.output.finish_line()
        self._ended.set()

    async def ended(self, within: float) -> None:
        """Waits until nobody can write any more, at most `within` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), within)


class Processes:
    """Starts children and holds their lifeline. It is an async context manager: after it no child is left."""

    def __init__(self) -> None:
        self._lifeline: tuple[int, int] | None = None
        self._running: set[asyncio.Task[int]] = set()

    async def __aenter__(self) -> Self:
        """Opens the lifeline."""
        self._lifeline = os.pipe()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._lifeline:
            # The supervisors see this just as they see the end of this process.
            os.close(self._lifeline[1])
            if self._running:
                await asyncio.wait(self._running, timeout=_DYING_SECONDS)
            os.close(self._lifeline[0])
            self._lifeline = None

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: OutputBuffer | None = None,
        *,
        stdin: bool = False,
    ) -> ChildProcess:
        """Starts the command. Its stdout and stderr go to `output`. `stdin`: whether `ChildProcess.write` is wanted.

        A program that cannot be run ends with code 127 and says why in its output. Raises OSError if no process can
        be started at all.
        """
        if self._lifeline is None:
            raise RuntimeError("Processes is used outside of its context")
        lifeline = self._lifeline[0]
        reading_end, writing_end = os.pipe()
        reader = _OutputReader(output or OutputBuffer())
        try:
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: reader, os.fdopen(reading_end, "rb", buffering=0)
            )
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_SUPERVISOR), str(lifeline)),
                *command,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=writing_end,
                stderr=writing_end,
                env=dict(environment),
                pass_fds=(lifeline,),
                # A terminal sends Ctrl-C to a whole session. It is for Berth, which ends its children in order.
                start_new_session=True,
            )
        finally:
            os.close(writing_end)
        child = ChildProcess(process, reader)
        ending = asyncio.create_task(child.wait(), name=f"end of {child.pid}")
        self._running.add(ending)
        ending.add_done_callback(self._running.discard)
        return child


def _kill_session(leader: int) -> None:
    """Kills every process of the session that process `leader` began. Does nothing where there is no /proc."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The fields after the name, which may contain anything: state, parent, process group, session.
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
