"""Shows why a command waits: by a spinner with one line on a terminal, by a line for each reason elsewhere.

Elsewhere nobody sees a line go: of what goes on and on, such as an installation, only the first line is printed.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from berth_local.cli.printing import moves

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

_SPINNER_WIDTH = 4
"""With a space, and with room for the ^C that a terminal shows: in the next line, it would keep this one from going."""

_PARTS = 2
"""A reason is like `MODEL: WHAT: HOW FAR`. So many parts say what is waited for."""


class WaitingLine:
    """Shows one reason at a time on a stream. It is a context manager: at its end the line is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = moves(stream)
        self._shown: str | None = None
        self._printed: set[tuple[str, ...]] = set()
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, reason: str) -> None:
        """Shows what the command waits for now."""
        if reason == self._shown:
            return
        self._shown = reason
        if not self._moves:
            what = tuple(reason.split(": ")[:_PARTS])
            if what not in self._printed:
                self._printed.add(what)
                print(reason, file=self._stream, flush=True)
        elif self._status is None:
            from rich.console import Console  # noqa: PLC0415 (a tenth of a second, spent while something is waited for anyway)

            console = Console(file=self._stream, highlight=False)
            self._status = console.status(_line(reason, console), spinner="dots", spinner_style="dim")
            self._status.start()
        else:
            self._status.update(_line(reason, self._status.console))

    def clear(self) -> None:
        """Removes the line."""
        if self._status:
            self._status.stop()
            self._status = None
        self._shown = None


def _line(reason: str, console: "Console") -> "Text":
    """The reason, cut to what fits beside the spinner."""
    from rich.text import Text  # noqa: PLC0415 (as above)

    line = Text(reason, style="dim")
    line.truncate(console.width - _SPINNER_WIDTH, overflow="ellipsis")
    return line
