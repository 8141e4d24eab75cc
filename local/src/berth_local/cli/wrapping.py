"""Breaks text that comes in pieces between words at the edge of a terminal."""

import re
import unicodedata

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


class WordWrap:
    """Breaks text that comes in pieces, so that the edge cuts no word. It may move a word that is half written."""

    def __init__(self, width: int) -> None:
        self._width = max(width, 1)
        self._column = 0
        self._word = ""
        """The part of the current word that is written already."""

    def feed(self, text: str) -> str:
        """What to write for the next piece: its text with line breaks, and codes that move a word to the next line."""
        return "".join(self._part(part) for part in _PIECES.findall(text))

    def _part(self, part: str) -> str:
        if part == "\n":
            self._column, self._word = 0, ""
            return part
        length = width_of(part)
        if part.isspace():
            self._word = ""
            if self._column + length >= self._width:
                # The terminal wraps by itself here; spaces at the beginning of the next line would look like an indent.
                self._column = 0
                return "\n"
            self._column += length
            return part
        return self._letters(part, length)

    def _letters(self, part: str, length: int) -> str:
        started = width_of(self._word)
        self._word += part
        if self._column + length <= self._width:
            self._column += length
            return part
        whole = started + length
        if whole > self._width or self._column == started:
            # The word is longer than a line, or alone on its line: to move it would gain nothing.
            self._column = (self._column + length) % self._width
            return part
        self._column = whole
        back = f"\x1b[{started}D\x1b[K" if started else ""
        return f"{back}\n{self._word}"


def width_of(text: str) -> int:
    """The number of a terminal's columns that the text takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
