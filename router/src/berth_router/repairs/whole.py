"""What rewrites an answer that is no stream, once all of it is there."""

from collections.abc import Callable

import orjson

from berth_router.errors import EngineFailedError
from berth_router.repairs.repair import JsonFields


class WholeAnswer:
    """Keeps an answer until it is whole, and changes it then."""

    head_lines = None
    begins_at_end = True
    passes = False

    def __init__(self, change: Callable[[JsonFields], None]) -> None:
        """`change`: changes the answer's JSON object in place. Raises APIError."""
        self._change = change
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Nothing yet."""
        self._parts.append(data)
        return b""

    def end(self) -> bytes:
        """The changed answer. Raises APIError."""
        try:
            answer = orjson.loads(b"".join(self._parts))
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise EngineFailedError("The engine's answer is no JSON object.", code="engine_error")
        self._change(answer)  # pyright: ignore[reportUnknownArgumentType]
        return orjson.dumps(answer)
