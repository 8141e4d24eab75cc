"""How a model that generates no text makes one vector, or one score, of a text's tokens; and what follows from it."""

from enum import IntEnum


class Pooling(IntEnum):
    """GGUF's `pooling_type`, with llama.cpp's numbers."""

    NONE = 0
    MEAN = 1
    FIRST = 2
    """The vector of the first token."""
    LAST = 3
    RANK = 4
    """A score of how well a document fits a question."""


_OF_ALL_TOKENS = frozenset({Pooling.MEAN, Pooling.FIRST, Pooling.RANK})


def pooling(value: int | None) -> Pooling | None:
    """The pooling that a header states; None where it states none, or one that is not known here."""
    return next((each for each in Pooling if each == value), None)


def needs_whole_inputs(of: Pooling | None) -> bool:
    """Whether llama.cpp must compute all tokens of an input at once. Others it computes in parts."""
    return of in _OF_ALL_TOKENS
