"""How an answer is shown: on a terminal thoughts dimmed, words whole and nothing that could command the terminal."""

from typing import TextIO

from berth_local.cli.harmless import harmless
from berth_local.cli.printing import dim
from berth_local.cli.wrapping import WordWrap


class Screen:
    """Shows one answer on a stream as it comes.

    What is no terminal gets the answer's own bytes, as a program wants them, and no thoughts.
    """

    def __init__(self, stream: TextIO, width: int | None) -> None:
        """`width`: the terminal's, in columns. None: it is none."""
        self._stream = stream
        self._width = width
        self._wrap = WordWrap(width) if width else None
        self._thinks = False
        self._last = ""

    def thought(self, text: str) -> None:
        """Shows what the model thinks before it answers."""
        if self._wrap is None:
            return
        if not self._thinks and not self._last:
            text = text.lstrip()
        self._thinks = True
        self._write(dim(self._wrap.feed(harmless(text)), on_terminal=True))
        self._last = text[-1:] or self._last

    def text(self, text: str) -> None:
        """Shows a piece of the answer."""
        if self._thinks:
            text = text.lstrip()
            if not text:
                return
            self._end_thought()
        self._write(self._wrap.feed(harmless(text)) if self._wrap else text)
        self._last = text[-1:] or self._last

    def end(self) -> None:
        """Ends the line, if there is one that has not ended."""
        if self._last and self._last != "\n":
            self._write("\n")
        self._last = ""

    def _end_thought(self) -> None:
        self.end()
        self._write("\n")
        self._thinks = False
        self._wrap = WordWrap(self._width) if self._width else None

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()
