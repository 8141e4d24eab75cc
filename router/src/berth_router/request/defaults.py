"""What the answer to a request gets that says nothing of its length and its sampling: the settings of this router."""

from dataclasses import dataclass, field

WINDOW_NOT_KNOWN = 8192
"""Tokens of context of an engine that does not tell how many it has."""

_LEAST_LEFT = 512
"""Of a number of tokens that is only estimated: an answer gets so many in any case."""

_BYTES_PER_TOKEN = 4
"""Of JSON in a language of the Latin alphabet. Other texts have fewer."""

_LEAST_MEDIA_BYTES = 16 * 1024
"""Of a body that is looked through for images and sound, and of each of these. What is shorter counts as text."""

_MEDIA_MARKS = (b";base64,", b'"data":"')
"""What stands before an image in OpenAI's API, and in Anthropic's."""

_MOST_MEDIA = 64
"""Of one body, that are looked for with each mark: to look costs time, whoever sends it."""

_MEDIA_TOKENS = 1024
"""About as many as a model makes of one image, however many bytes it has."""


@dataclass(frozen=True, slots=True)
class AnswerDefaults:
    """The defaults of answers."""

    max_tokens: int | None = 512
    """None: as many as the context leaves."""
    temperature: float | None = 0.7
    """None: what the model's own configuration says, or its engine."""
    top_p: float | None = 1.0
    """None: as for `temperature`."""
    sampling: tuple[tuple[str, float], ...] = field(init=False)
    """The fields of sampling that a request gets, and their values."""

    def __post_init__(self) -> None:
        """Leaves out what the model decides."""
        given = (("temperature", self.temperature), ("top_p", self.top_p))
        object.__setattr__(self, "sampling", tuple((name, value) for name, value in given if value is not None))


def estimated_tokens(content: bytes) -> int:
    """About how many tokens a request's body has, rather too many than too few."""
    size = len(content)
    if size < _LEAST_MEDIA_BYTES:
        return size // _BYTES_PER_TOKEN
    media = [length for mark in _MEDIA_MARKS for length in _lengths_after(mark, content)]
    return (size - sum(media)) // _BYTES_PER_TOKEN + len(media) * _MEDIA_TOKENS


def _lengths_after(mark: bytes, content: bytes) -> list[int]:
    """The bytes of each long string, or rest of a string, that begins after this mark."""
    lengths: list[int] = []
    end = 0
    for _ in range(_MOST_MEDIA):
        at = content.find(mark, end)
        if at < 0:
            break
        begin = at + len(mark)
        end = content.find(b'"', begin)
        if end < 0:
            break
        if end - begin >= _LEAST_MEDIA_BYTES:
            lengths.append(end - begin)
    return lengths


def tokens_left(content: bytes, window: int | None) -> int:
    """About how many tokens the context leaves to the answer to this body. `window`: None where it is not known."""
    return max((window or WINDOW_NOT_KNOWN) - estimated_tokens(content), _LEAST_LEFT)
