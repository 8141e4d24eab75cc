"""How long a hub that fails is waited for."""

import pytest

from berth_hub.errors import DownloadError, HubUnavailableError, RateLimitedError, RepositoryGatedError
from berth_hub.retrying import RetryPolicy, with_retries

RETRIES = RetryPolicy(tries=4, first_wait=1, longest_wait=3, longest_retry_after=60)


@pytest.mark.parametrize(
    ("failures", "error", "wait"),
    [
        (1, HubUnavailableError(), 1),
        (2, HubUnavailableError(), 2),
        (3, HubUnavailableError(), 3),
        (4, HubUnavailableError(), None),
        (1, RateLimitedError("", 17), 17),
        (1, RateLimitedError("", 3600), 60),
        (1, RateLimitedError("", None), 1),
        (1, RepositoryGatedError(), None),
    ],
)
def test_waits(failures: int, error: DownloadError, wait: float | None) -> None:
    assert RETRIES.wait(failures, error) == wait


def test_the_last_error_is_raised_when_the_tries_are_used_up() -> None:
    waits: list[float] = []

    def fail() -> None:
        raise RateLimitedError("slowly", 5)

    with pytest.raises(RateLimitedError):
        with_retries(fail, RETRIES, waits.append, lambda _error, _wait: None)
    assert waits == [5, 5, 5]
