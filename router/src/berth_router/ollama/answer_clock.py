"""The moments and durations of an answer, as Ollama writes them: RFC 3339, and nanoseconds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Nanoseconds = int


class AnswerClock:
    """Counts from the moment that it is made at, when a request has come.

    `clock` counts nanoseconds from any moment on, as `time.monotonic_ns` does; `now` is the time of day at this moment.
    """

    def __init__(self, clock: Callable[[], Nanoseconds], now: datetime) -> None:
        self._clock = clock
        self._now = now.astimezone(UTC)
        self._began = clock()
        self._sent: Nanoseconds | None = None

    def sent_to_engine(self) -> None:
        """Marks the moment at which an engine gets the request: until then the model was being loaded."""
        self._sent = self._clock()

    def total(self) -> Nanoseconds:
        """What has passed since the request came."""
        return self._clock() - self._began

    def load(self) -> Nanoseconds:
        """What had passed when an engine got the request."""
        return 0 if self._sent is None else self._sent - self._began

    def created_at(self) -> str:
        """The time of day."""
        return timestamp(self._now + timedelta(microseconds=self.total() // 1000))


def timestamp(moment: datetime) -> str:
    """A moment as Ollama writes it, such as 2026-01-31T09:30:00.000123Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
