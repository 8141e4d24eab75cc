"""Server-sent events, read from bytes in pieces that are cut anywhere."""

from collections.abc import Iterator

from berth_router.errors import EngineFailedError

MOST_BYTES = 16 * 1024 * 1024
"""Of one event. Engines' events are some hundred bytes; a whole call of a tool may be some thousand."""


class EventReader:
    """Gives the data of each event. Comments, and fields other than `data`, are passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of the events that end within these bytes. Raises EngineFailedError where an event is too long."""
        self._buffer += data
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            event = self._read_line(line.removesuffix(b"\r"))
            if event is not None:
                yield event
        self._searched = len(self._buffer)
        self._check_length()

    def _read_line(self, line: bytes) -> bytes | None:
        """The data of the event that this line ends; None where it ends none, or one without data."""
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._data_bytes += len(line)
            self._check_length()
        elif not line and self._data:
            event = b"\n".join(self._data)
            self._data.clear()
            self._data_bytes = 0
            return event
        return None

    def _check_length(self) -> None:
        if len(self._buffer) + self._data_bytes > MOST_BYTES:
            raise EngineFailedError(f"The engine sent an event of more than {MOST_BYTES} bytes.", code="engine_error")
