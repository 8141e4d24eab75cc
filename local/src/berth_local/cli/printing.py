"""What commands print: tables that fit the terminal, sizes, times, JSON."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

from berth_local.cli.harmless import harmless
from berth_process.sizes import readable

_GAP = "  "
_SHORTEST = 12
"""The fewest characters that a shortened column keeps."""

_STORE = re.compile(r"(?<![\w./~-])/models/(?=\w)")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. If not all columns fit, the highest `rank` is left out first, and rank 0 never."""

    title: str
    rank: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """The rows below their titles, in at most `width` characters. None: as wide as needed, with every column."""
    cells = [[column.title for column in columns], *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    shown = list(range(len(columns)))
    while width is not None and _total(widths, shown) > width:
        droppable = [index for index in shown if columns[index].rank > 0]
        if not droppable:
            widest = max(shown, key=lambda index: widths[index])
            widths[widest] = max(_SHORTEST, widths[widest] - (_total(widths, shown) - width))
            break
        shown.remove(max(droppable, key=lambda index: columns[index].rank))
    return "\n".join(_line(columns, row, widths, shown) for row in cells)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + len(_GAP) * (len(shown) - 1)


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], shown: Sequence[int]) -> str:
    cells = [_cell(row[index], widths[index], right=columns[index].right) for index in shown]
    return _GAP.join(cells).rstrip()


def _cell(text: str, width: int, *, right: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.rjust(width) if right else text.ljust(width)


def without_empty(columns: Sequence[Column], rows: Sequence[list[str]]) -> tuple[list[Column], list[list[str]]]:
    """The table without the columns that have a rank and "-" in every row."""
    kept = [index for index, column in enumerate(columns) if column.rank == 0 or any(row[index] != "-" for row in rows)]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def terminal_width() -> int | None:
    """The width of the terminal in characters. None where stdout is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on stdout."""
    print(_with_dim_titles(table(columns, rows, terminal_width())))


def facts(told: Iterable[tuple[str, str]], width: int | None) -> str:
    """A line for each fact, with its name: longer ones are broken between words, in at most `width` characters."""
    pairs = list(told)
    indent = max((len(name) for name, _ in pairs), default=0) + len(_GAP)
    if width is None:
        return "\n".join(f"{name:<{indent}}{text}" for name, text in pairs)
    wrapper, newline = _wrapper(max(width - indent, _SHORTEST)), "\n" + " " * indent
    return "\n".join(f"{name:<{indent}}{newline.join(wrapper.wrap(text))}" for name, text in pairs)


def print_facts(told: Mapping[str, str]) -> None:
    """Prints facts by their names on stdout."""
    print(facts(told.items(), terminal_width()))


def print_json(value: Any) -> None:
    """Prints JSON on stdout, indented so that people can read it too."""
    print(json.dumps(value, indent=2, ensure_ascii=not is_unicode(sys.stdout)))


def is_unicode(stream: TextIO) -> bool:
    """Whether the stream takes every character."""
    return (stream.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def print_note(text: str) -> None:
    """Prints a remark on stderr, dim on a terminal."""
    print(dim(_fitted(text), sys.stderr.isatty()), file=sys.stderr, flush=True)


def print_error(message: str) -> None:
    """Prints on stderr why the command has failed: in one line, unless a terminal is too narrow for it."""
    print(_fitted(f"berth: {message}"), file=sys.stderr, flush=True)


def _fitted(text: str) -> str:
    """The text, for a terminal broken between words, and without what that would obey."""
    if not sys.stderr.isatty():
        return text
    text = harmless(text)
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrapper(width).fill(line) for line in text.splitlines())


def _wrapper(width: int) -> textwrap.TextWrapper:
    return textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)


def moves(stream: TextIO) -> bool:
    """Whether what the stream shows can be written over: it is a terminal, and not one that only prints."""
    return stream.isatty() and not _only_prints()


def dim(text: str, on_terminal: bool) -> str:
    """The text with the terminal's code for dim, on a terminal for which the user allows colours."""
    return f"\x1b[2m{text}\x1b[0m" if on_terminal and "NO_COLOR" not in os.environ and not _only_prints() else text


def _only_prints() -> bool:
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")  # as rich knows them


def _with_dim_titles(text: str) -> str:
    titles, newline, rest = text.partition("\n")
    return dim(titles, sys.stdout.isatty()) + newline + rest


def size(count: float | None) -> str:
    """A number of bytes, such as 4.7 GB, or - where it is not known."""
    return "-" if count is None else readable(count)


def duration(seconds: float) -> str:
    """A time with one or two units: 45 s, 4 min, 3 h 20 min, 12 d."""
    seconds = round(seconds)
    if seconds < 120:
        return f"{max(seconds, 0)} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{seconds // 86400} d"


def since(moment: str | None, now: datetime) -> timedelta | None:
    """The time since an ISO 8601 moment, negative if it is in the future. None for None."""
    return now - datetime.fromisoformat(moment) if moment else None


def count(number: int | None) -> str:
    """A large number with a unit: 135M, 7.6B; smaller ones as they are: 8192."""
    if number is None:
        return "-"
    for factor, unit in ((10**9, "B"), (10**6, "M")):
        if number >= factor:
            return (
                f"{number / factor:.1f}".removesuffix(".0") + unit
                if number < 100 * factor
                else f"{number / factor:.0f}{unit}"
            )
    return f"{number}"


def counted(number: int, noun: str) -> str:
    """1 model, 2 models."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def model_name(path: str) -> str:
    """The name of a model for people: its path below the store."""
    return path.removeprefix("/models/")


def with_names(text: str) -> str:
    """The text with models called as `berth ps` calls them: the API has paths, of a folder that is on no machine."""
    return _STORE.sub("", text)
