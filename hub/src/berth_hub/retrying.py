"""How long to wait for a hub that fails, and when to leave it to a later attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from berth_hub.errors import DownloadError, RateLimitedError
from berth_process.backoff import exponential

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Times are in seconds."""

    tries: int = 8
    """Failures in a row, without one byte of progress between them, after which to give up."""

    first_wait: float = 0.5
    """Doubled with each failure."""

    longest_wait: float = 30.0
    longest_retry_after: float = 300.0
    """A hub that asks for more is asked again after this."""

    def wait(self, failures: int, error: DownloadError) -> float | None:
        """What to wait after so many failures in a row (1 or more), of which this was the last; None: no longer."""
        if error.permanent or failures >= self.tries:
            return None
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            return min(error.retry_after, self.longest_retry_after)
        return exponential(self.first_wait, self.longest_wait, failures)


def with_patience(
    attempt: Callable[[], T],
    patience: Patience,
    sleep: Callable[[float], None],
    report: Callable[[DownloadError, float], None],
) -> T:
    """The result of the first attempt that succeeds.

    Reports each failure and the wait that follows; raises the last DownloadError.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except DownloadError as error:
            failures += 1
            wait = patience.wait(failures, error)
            if wait is None:
                raise
            report(error, wait)
            sleep(wait)
