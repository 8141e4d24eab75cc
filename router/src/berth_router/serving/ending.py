"""The end of a stream of completions, where the engine leaves off the last event of OpenAI's."""

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, ENDS_WITHOUT_DONE
from berth_api.model_deployment import Backend

DONE = b"data: [DONE]\n\n"

_KEPT = 512
_ERROR = b'data: {"error"'


class Ending:
    """Adds `data: [DONE]` to a stream that is whole: not where the engine sent it, and not after an error."""

    def __init__(self) -> None:
        self._tail = b""
        self._failed = False

    @classmethod
    def needed(cls, backend: Backend, path: str) -> "Ending | None":
        """The ending of an engine's streams on this path; None where they come with it, or the API has none there."""
        return cls() if backend in ENDS_WITHOUT_DONE and path in (CHAT_COMPLETIONS, COMPLETIONS) else None

    def feed(self, data: bytes) -> None:
        """Sees what is passed on."""
        seen = self._tail + data
        self._failed = self._failed or _ERROR in seen
        self._tail = seen[-_KEPT:]

    def end(self) -> bytes:
        """What is missing."""
        return b"" if self._failed or self._tail.rstrip().endswith(DONE.rstrip()) else DONE
