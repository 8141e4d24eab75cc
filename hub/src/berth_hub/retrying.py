"""How long to wait for a hub that fails, and when to give up and leave it to a later attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from berth_hub.errors import DownloadError, RateLimitedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try, and how long to wait between two tries. Times are in seconds."""

    tries: int = 8
    """After so many failures in a row, without a byte of progress between them, give up."""

    first_wait: float = 0.5
    """Doubled with each failure."""

    longest_wait: float = 30.0
    longest_retry_after: float = 300.0
    """The longest wait that the hub may ask for."""

    def wait(self, failures: int, error: DownloadError) -> float | None:
        """The wait after so many failures in a row (1 or more), of which this is the last. None: give up."""
        if error.permanent or failures >= self.tries:
            return None
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            return min(error.retry_after, self.longest_retry_after)
        return min(self.first_wait * 2 ** (failures - 1), self.longest_wait)


def with_retries(
    attempt: Callable[[], T],
    retry_policy: RetryPolicy,
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
            wait = retry_policy.wait(failures, error)
            if wait is None:
                raise
            report(error, wait)
            sleep(wait)
