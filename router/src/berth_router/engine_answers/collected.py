"""An engine's answer that is translated when it is whole."""

from collections.abc import Callable

from berth_router.errors import EngineFailedError

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer: a thousand vectors have about 40 MiB as text."""


class CollectedAnswer:
    """Collects an answer, and gives what `translate` makes of it."""

    head_lines = b"content-type: application/json\r\n"
    begins_at_end = True
    passes = False

    def __init__(self, translate: Callable[[bytes], bytes]) -> None:
        self._translate = translate
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing: the answer is not whole yet."""
        self._size += len(data)
        if self._size <= MOST_BYTES:
            self._parts.append(data)
        else:
            self._parts.clear()
        return b""

    def end(self) -> bytes:
        """The translated answer. Raises EngineFailedError where the engine's is too long, or makes no sense."""
        if self._size > MOST_BYTES:
            raise EngineFailedError(f"The engine sent an answer of more than {MOST_BYTES} bytes.", code="engine_error")
        return self._translate(b"".join(self._parts))
