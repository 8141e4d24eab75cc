"""Text that comes in pieces, broken between words at a terminal's edge."""

import re
import unicodedata

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


class WordWrap:
    """Says what to write for each piece, so that no word is cut by the edge. What has been written of a word may have to move."""

    def __init__(self, width: int) -> None:
        self._width = max(width, 1)
        self._column = 0
        self._word = ""
        """As much as is there of the word that the cursor is behind."""

    def feed(self, text: str) -> str:
        """What to write for the next piece: the text, with line breaks in place of spaces, and what takes a cut word to the next line."""
        return "".join(self._part(part) for part in _PIECES.findall(text))

    def _part(self, part: str) -> str:
        if part == "\n":
            self._column, self._word = 0, ""
            return part
        length = width_of(part)
        if part.isspace():
            self._word = ""
            if self._column + length >= self._width:
                # The terminal itself goes on with the next line; spaces at its beginning would look like an indentation.
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
            # Longer than a line, or alone on it: nothing is gained by moving it.
            self._column = (self._column + length) % self._width
            return part
        self._column = whole
        back = f"\x1b[{started}D\x1b[K" if started else ""
        return f"{back}\n{self._word}"


def width_of(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
