"""The header of a safetensors file: the types and shapes of its tensors.

The format: eight bytes with the length of a JSON object, that object, the tensors' bytes without a gap. What is
accepted here is what the safetensors library accepts. The object is read member by member, so that a hostile one cannot
become large in memory.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from berth_formats.beginnings import BEGINNING_BYTES, what_else
from berth_formats.errors import FormatError
from berth_formats.stream import HeaderStream, header_of

_MAX_HEADER_BYTES = 16 * 1024 * 1024
"""The library allows 100 MB; a model whose headers are a tenth of this has a hundred thousand tensors."""
_MAX_TENSORS = 100_000
_MAX_ENTRY_CHARACTERS = 4096
_MAX_METADATA = 100_000
_MAX_ELEMENTS = 2**63 - 1

_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of an element of each type."""

_METADATA = "__metadata__"
_SPACES = frozenset(" \t\n\r")
_NO_SPACE = re.compile(r"[^ \t\n\r]|\Z")
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What a safetensors file says of its tensors."""

    tensors: int
    parameters: int
    """Elements of all tensors, as they are stored: packed ones count as what they are packed into."""
    tensor_bytes: int
    elements_by_type: Mapping[str, int]
    """Elements of the tensors of each type (BF16, F32, I8, ...)."""


def read_safetensors(path: Path, name: str | None = None) -> SafetensorsHeader:
    """The file's header, in bounded time and memory; `name` is what errors call the file.

    Raises FormatError if it is not safetensors, is damaged, or is not as long as its tensors need.
    """
    with header_of(path, name) as stream:
        text = _header_text(stream)
        try:
            return _header(stream, text)
        except _MalformedError as error:
            raise FormatError(f"{stream.name} has a damaged header: {error}") from error


class _MalformedError(Exception):
    """The JSON text is not what it should be."""


def _header_text(stream: HeaderStream) -> str:
    beginning = stream.peek(BEGINNING_BYTES)
    length = int.from_bytes(beginning[:8], "little")
    if len(beginning) <= 8 or beginning[8] not in b"{ \t\n\r":
        meaning = (
            what_else(beginning, "safetensors") or "is not safetensors: no header begins after its first eight bytes"
        )
        raise FormatError(f"{stream.name} {meaning}")
    if length > stream.size - 8:
        raise stream.truncated()
    if length > _MAX_HEADER_BYTES:
        raise FormatError(f"{stream.name} claims a header of {length} bytes, more than {_MAX_HEADER_BYTES}")
    stream.skip(8)
    try:
        return stream.take(length).decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{stream.name} has a damaged header: it is not UTF-8") from error


def _header(stream: HeaderStream, text: str) -> SafetensorsHeader:
    elements_by_type: dict[str, int] = {}
    ranges: list[tuple[int, int]] = []
    for kind, elements, begin, end in _tensors(text):
        elements_by_type[kind] = elements_by_type.get(kind, 0) + elements
        ranges.append((begin, end))
    ranges.sort()
    if any(before[1] != after[0] for before, after in pairwise(ranges)) or (ranges and ranges[0][0]):
        raise _MalformedError("its tensors overlap or leave gaps")
    tensor_bytes = ranges[-1][1] if ranges else 0
    stored = stream.size - stream.position
    if stored < tensor_bytes:
        raise FormatError(f"{stream.name} has {stored} of {tensor_bytes} bytes of tensors: the download did not finish")
    if stored > tensor_bytes:
        raise FormatError(f"{stream.name} has {stored - tensor_bytes} bytes more than its tensors need: it is damaged")
    return SafetensorsHeader(len(ranges), sum(elements_by_type.values()), tensor_bytes, elements_by_type)


def _tensors(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Type, elements and range of bytes of each tensor."""
    names: set[str] = set()
    cursor = _Cursor(text)
    for name in cursor.members():
        if name in names:
            raise _MalformedError(f"{name[:80]} is there twice")
        names.add(name)
        if len(names) > _MAX_TENSORS:
            raise _MalformedError(f"it has more than {_MAX_TENSORS} members")
        if name == _METADATA:
            _skip_metadata(cursor)
        else:
            yield _tensor(name, cursor.entry())
    if cursor.next():
        raise _MalformedError("something follows its object")


def _skip_metadata(cursor: "_Cursor") -> None:
    """Passes an object of strings, or null."""
    if cursor.next() == "n":
        cursor.null()
        return
    for count, _ in enumerate(cursor.members()):
        if count > _MAX_METADATA:
            raise _MalformedError(f"{_METADATA} has more than {_MAX_METADATA} members")
        cursor.string()


def _tensor(name: str, entry: Any) -> tuple[str, int, int, int]:
    shown = name[:80]
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [begin, end]} if kind in _BITS:
            dimensions: list[Any] = shape
        case _:
            raise _MalformedError(f"{shown} has no known dtype, shape and data_offsets")
    # JSON's true and false are numbers to Python.
    if not all(type(number) is int and 0 <= number <= _MAX_ELEMENTS for number in (*dimensions, begin, end)):
        raise _MalformedError(f"{shown} has a wrong shape, or wrong data_offsets")
    elements = prod(dimensions)
    if elements > _MAX_ELEMENTS or elements * _BITS[kind] != (end - begin) * 8:
        raise _MalformedError(f"{shown} does not have as many bytes as its shape needs")
    return kind, elements, begin, end


class _Cursor:
    """A place in a JSON text, moved on by what is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def members(self) -> Iterator[str]:
        """The keys of the object that is next. After each one, its value must be read."""
        self._expect("{")
        first = True
        while self.next() != "}":
            if not first:
                self._expect(",")
            first = False
            key = self.string()
            self._expect(":")
            yield key
        self._at += 1

    def entry(self) -> Any:
        """The next value: a short object in which no other is. The text beyond its end is not looked at."""
        if self.next() != "{":
            raise _MalformedError(f"it has no object at character {self._at}")
        end = self._text.find("}", self._at, self._at + _MAX_ENTRY_CHARACTERS) + 1
        if not end:
            raise _MalformedError(f"it has a long entry at character {self._at}")
        value, length = self._scan(self._text[self._at : end], 0)
        self._at += length
        return value

    def string(self) -> str:
        """The next value: a string."""
        if self.next() != '"':
            raise _MalformedError(f"it has no string at character {self._at}")
        value, self._at = self._scan(self._text, self._at)
        return value

    def null(self) -> None:
        """The next value: null."""
        value, self._at = self._scan(self._text, self._at)
        if value is not None:
            raise _MalformedError(f"it has no null at character {self._at}")

    def next(self) -> str:
        """The next character that is no space, which is not passed; empty at the end."""
        character = self._text[self._at : self._at + 1]
        if character in _SPACES:
            self._at = _NO_SPACE.search(self._text, self._at).start()  # pyright: ignore[reportOptionalMemberAccess] (the end matches)
            character = self._text[self._at : self._at + 1]
        return character

    def _expect(self, character: str) -> None:
        if self.next() != character:
            raise _MalformedError(f"it has no {character} at character {self._at}")
        self._at += 1

    @staticmethod
    def _scan(text: str, at: int) -> tuple[Any, int]:
        try:
            return _decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _MalformedError(f"it is not JSON at character {at}") from error
