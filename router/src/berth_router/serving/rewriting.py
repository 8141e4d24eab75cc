"""What the router changes in an engine's answer: the model's name, a missing `[DONE]`.

Whoever speaks another API than the engine brings a rewriter of its own.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import orjson

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, ENDS_WITHOUT_DONE
from berth_api.model_deployment import Backend
from berth_router.repairs.repair import AnswerRewriter

DONE_EVENT = b"data: [DONE]\n\n"

_TAIL_BYTES = 512
"""Bytes of a stream's end that are kept, to find `[DONE]` or an error that came in two pieces."""

_ERROR_EVENT = b'data: {"error"'


class RewriterChain:
    """Rewriters of one answer, which it passes in this order."""

    def __init__(self, rewriters: Sequence[AnswerRewriter]) -> None:
        self._rewriters = rewriters
        self.head_lines = next((each.head_lines for each in rewriters if each.head_lines), None)
        self.begins_at_end = any(each.begins_at_end for each in rewriters)

    @property
    def passes(self) -> bool:
        """Whether all that comes from now on stays as it is."""
        return all(each.passes for each in self._rewriters)

    def feed(self, data: bytes) -> bytes:
        """What the last of them lets pass."""
        for each in self._rewriters:
            data = each.feed(data)
        return data

    def end(self) -> bytes:
        """What is left when no more comes. Raises APIError, but only where `begins_at_end`."""
        data = b""
        for each in self._rewriters:
            data = each.feed(data) + each.end()
        return data


def chained(rewriters: Sequence[AnswerRewriter]) -> AnswerRewriter | None:
    """These as one; None where there are none."""
    return RewriterChain(rewriters) if len(rewriters) > 1 else next(iter(rewriters), None)


class ModelNameReplacer:
    """Replaces `"model":"OLD"`, for each of the old names, by `"model":"NEW"`, without parsing the answer.

    The answer may come in pieces that are cut anywhere. A match cannot lie inside a JSON string: there, a backslash
    stands before every quotation mark.
    """

    head_lines = None
    begins_at_end = False
    passes = False

    def __init__(self, old: Iterable[str], new: str) -> None:
        self._forms = tuple(
            (b'"model":' + space + orjson.dumps(name), b'"model":' + space + orjson.dumps(new))
            for name in old
            for space in (b"", b" ")
        )
        self._longest = max(len(form) for form, _ in self._forms)
        self._kept = b""
        """The end of what came, where a match may begin in it."""

    @classmethod
    def if_needed(cls, old: tuple[str, ...], new: str) -> Self | None:
        """A replacer, or None where the answer can have no name but the new one."""
        others = [name for name in old if name != new]
        return cls(others, new) if others else None

    def feed(self, data: bytes) -> bytes:
        """All that can be passed on of what came so far: all but an end in which a match may begin."""
        data = self._kept + data if self._kept else data
        for old, new in self._forms:
            data = data.replace(old, new)
        cut = self._possible_match_start(data)
        self._kept = data[cut:]
        return data[:cut] if self._kept else data

    def end(self) -> bytes:
        """What is left when no more comes."""
        kept, self._kept = self._kept, b""
        return kept

    def _possible_match_start(self, data: bytes) -> int:
        at = data.find(b'"', max(0, len(data) - self._longest + 1))
        while at >= 0:
            end = data[at:]
            if any(old.startswith(end) for old, _ in self._forms):
                return at
            at = data.find(b'"', at + 1)
        return len(data)


class DoneAppender:
    """Adds `data: [DONE]` to a whole stream of completions whose engine leaves it off. Not after an error."""

    def __init__(self) -> None:
        self._tail = b""
        self._failed = False

    @classmethod
    def if_needed(cls, backend: Backend, path: str) -> Self | None:
        """An appender, or None where the engine sends `[DONE]` itself, or the path's streams end without it."""
        return cls() if backend in ENDS_WITHOUT_DONE and path in (CHAT_COMPLETIONS, COMPLETIONS) else None

    def feed(self, data: bytes) -> None:
        """Takes note of a part of the stream, which passes unchanged."""
        seen = self._tail + data
        self._failed = self._failed or _ERROR_EVENT in seen
        self._tail = seen[-_TAIL_BYTES:]

    def end(self) -> bytes:
        """What the stream's end lacks."""
        return b"" if self._failed or self._tail.rstrip().endswith(DONE_EVENT.rstrip()) else DONE_EVENT
