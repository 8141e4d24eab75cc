"""The model's name in an engine's answer, replaced by the name that the caller used, without parsing the answer."""

from collections.abc import Iterable
from typing import Self

import orjson


class Renaming:
    """Replaces `"model":"OLD"`, for each of the old names, by `"model":"NEW"` in bytes that come in pieces cut
    anywhere.

    The match cannot lie inside a JSON string, where every quotation mark has a backslash before it.
    """

    def __init__(self, old: Iterable[str], new: str) -> None:
        self._forms = tuple(
            (b'"model":' + space + orjson.dumps(name), b'"model":' + space + orjson.dumps(new))
            for name in old
            for space in (b"", b" ")
        )
        self._longest = max(len(form) for form, _ in self._forms)
        self._held = b""

    @classmethod
    def needed(cls, old: tuple[str, ...], new: str) -> Self | None:
        """The renaming; None where no name but the new one can come."""
        if old == (new,):  # as most clients name it
            return None
        others = [name for name in old if name != new]
        return cls(others, new) if others else None

    def feed(self, data: bytes) -> bytes:
        """What can be passed on of all that came so far: all but an end that may be the beginning of a match."""
        data = self._held + data if self._held else data
        for old, new in self._forms:
            data = data.replace(old, new)
        cut = self._match_may_begin_at(data)
        self._held = data[cut:]
        return data[:cut] if self._held else data

    def end(self) -> bytes:
        """What is left when no more comes."""
        held, self._held = self._held, b""
        return held

    def _match_may_begin_at(self, data: bytes) -> int:
        at = data.find(b'"', max(0, len(data) - self._longest + 1))
        while at >= 0:
            end = data[at:]
            if any(old.startswith(end) for old, _ in self._forms):
                return at
            at = data.find(b'"', at + 1)
        return len(data)
