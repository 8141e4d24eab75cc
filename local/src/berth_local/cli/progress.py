"""Shows how far a download is: by a bar on a terminal, by a line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from berth_local.cli.printing import duration, moves, size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_SECONDS = 10.0
"""The time between two lines where there is no terminal."""


_BEGINNINGS = {"WaitingForPod": "the download begins"}
"""Steps of every download that are of interest in a cluster alone, by their reasons."""

_ON_ONE_MACHINE = _BEGINNINGS | {
    "WaitingForNode": "the download begins",
    "WaitingForContainer": "the download begins",
    "CleaningUp": "an earlier download of this model ends first",
}
"""The same for one machine, where the words of the operator name what nobody has there."""


_AS_ALWAYS = frozenset({"Listing", "Downloading", "Verifying", "Publishing", "Starting", "Ending"})
"""The reasons of a download that nothing stands in the way of."""


class DownloadProgress:
    """Shows a download on a stream. It is a context manager: at its end the bar is gone.

    `one_machine`: whether this machine's own server does it, and no cluster. `begins`: False if something speaks
    against it, so that nothing is said before its files are known.
    """

    def __init__(self, stream: TextIO, one_machine: bool, *, begins: bool = True) -> None:
        self._stream = stream
        self._one_machine = one_machine
        self._begins = begins
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._printed_at = float("-inf")
        self._printed: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, job: dict[str, Any]) -> None:
        """Shows how far the download is now. `job`: the download as the API describes it."""
        if not self._begins and not job["bytes_total"]:
            return
        if moves(self._stream):
            self._show_bar(job)
        else:
            self._print(job)

    def _show_bar(self, job: dict[str, Any]) -> None:
        if self._bar is None:
            self._bar = _bar(self._stream)
            self._task = self._bar.add_task("", total=None, text=described(job, self._one_machine))
            self._bar.start()
        if self._task is not None:
            total = job["bytes_total"] or None
            self._bar.update(
                self._task, total=total, completed=job["bytes_done"] or 0, text=described(job, self._one_machine)
            )

    def _print(self, job: dict[str, Any]) -> None:
        line, now = described(job, self._one_machine), time.monotonic()
        due = now - self._printed_at >= _LINE_SECONDS or job["phase"] == "Succeeded"
        if line != self._printed and due and job["phase"] != "Failed":  # why it failed, the command says
            self._printed, self._printed_at = line, now
            print(line, file=self._stream, flush=True)


def described(job: dict[str, Any], one_machine: bool) -> str:
    """How far it is, in words: 312 MB of 4.7 GB, 2 of 5 files, 87 MB/s, 50 s left. Or what stands in the way."""
    runs, reason = job["phase"] == "Running", str(job["reason"])
    if not job["bytes_total"] or (runs and reason not in _AS_ALWAYS and job["message"]):
        beginnings = _ON_ONE_MACHINE if one_machine else _BEGINNINGS
        return beginnings.get(reason, str(job["message"] or job["phase"]))
    parts = [f"{size(job['bytes_done'])} of {size(job['bytes_total'])}"]
    if (job["files_total"] or 0) > 1:
        parts.append(f"{job['files_done'] or 0} of {job['files_total']} files")
    if runs and job["bytes_per_second"]:
        parts.append(f"{size(job['bytes_per_second'])}/s")
    if runs and job["eta_seconds"] is not None:
        parts.append(f"{duration(job['eta_seconds'])} left")
    return ", ".join(parts)


def _bar(stream: TextIO) -> "Progress":
    """A line of a bar, which has the room that the text leaves, and the text."""
    from rich.console import Console, ConsoleDimensions  # noqa: PLC0415 (a tenth of a second, spent while bytes come in)
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    class Narrower(Console):
        """It has room for the ^C that a terminal shows: in the next line, that would keep the bar from going."""

        @Console.size.getter
        def size(self) -> ConsoleDimensions:
            """That of the terminal, but for the last characters of a line."""
            full = Console.size.__get__(self)
            return ConsoleDimensions(max(full.width - len("^C"), 1), full.height)

    return Progress(
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
        console=Narrower(file=stream, highlight=False),
        expand=True,
        transient=True,
    )
