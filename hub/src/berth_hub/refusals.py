"""Our errors for those of the hub's client: what happened, and what to do about it."""

import os
from collections.abc import Mapping

import httpx2
from huggingface_hub import errors as hub
from huggingface_hub.utils import parse_ratelimit_headers

from berth_hub.connection_causes import why_unreachable
from berth_hub.errors import (
    HubError,
    HubUnavailableError,
    RateLimitedError,
    RepositoryDisabledError,
    RepositoryGatedError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    TokenRefusedError,
)

_IN_A_CLUSTER = "KUBERNETES_SERVICE_HOST"
"""The variable that every pod has."""


def refusal_of(error: httpx2.HTTPError, repository: str, revision: str, endpoint: str, *, has_token: bool) -> HubError:
    """Our error for the client's. The client's own text is left out: it may hold a signed URL."""
    match error:
        case hub.GatedRepoError():
            page = f"{endpoint}/{repository}"
            if has_token:
                return RepositoryGatedError(
                    f"{repository} is gated and the token's account has no access: ask for it at {page}"
                )
            return RepositoryGatedError(
                f"{repository} is gated and no token is set: ask for access at {page} and set a token of that account; "
                f"{_token_hint()}"
            )
        case hub.RevisionNotFoundError():
            return RevisionNotFoundError(
                f"{repository} has no revision {revision!r}: name one of its branches, tags or commits"
            )
        case hub.DisabledRepoError():
            return RepositoryDisabledError(f"{endpoint} has disabled {repository}: choose another repository")
        case hub.RemoteEntryNotFoundError():
            return RevisionNotFoundError(
                f"{repository}@{revision} lacks a file that it listed: try again, or name another revision"
            )
        case hub.RepositoryNotFoundError():
            return _not_found(repository, endpoint, has_token=has_token)
        case hub.HfHubHTTPError():
            return _by_status(
                error.response.status_code, error.response.headers, repository, endpoint, has_token=has_token
            )
        case _:
            return unreachable(endpoint, why_unreachable(error, os.environ))


def unreachable(endpoint: str, why: str) -> HubUnavailableError:
    """The error for a hub that cannot be used now."""
    return HubUnavailableError(f"the hub at {endpoint} cannot be used: {why}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the answer asks to wait, by `Retry-After` or the hub's own `RateLimit`. None: it states none."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None


def _by_status(status: int, headers: Mapping[str, str], repository: str, endpoint: str, *, has_token: bool) -> HubError:
    if status == 401 and has_token:
        return TokenRefusedError(
            f"{endpoint} does not accept the token (status 401): it may have expired; {_token_hint()}"
        )
    if status in (401, 404):
        return _not_found(repository, endpoint, has_token=has_token)
    if status == 403:
        return RepositoryGatedError(
            f"{endpoint} forbids to read {repository} (status 403): ask for access; {_token_hint()}"
        )
    if status == 429:
        text = f"{endpoint} limits how much may be asked of it (status 429): a token raises the limit; {_token_hint()}"
        return RateLimitedError(text, retry_after(headers))
    return unreachable(endpoint, f"it answered with status {status}")


def _not_found(repository: str, endpoint: str, *, has_token: bool) -> RepositoryNotFoundError:
    hint = "that the token's account may read it" if has_token else f"or set a token if it is private; {_token_hint()}"
    return RepositoryNotFoundError(
        f"{endpoint} has no repository {repository}, or it is private: check the name, {hint}"
    )


def _token_hint() -> str:
    """Where the token is. On one machine nobody knows of charts."""
    if os.environ.get(_IN_A_CLUSTER):
        return "the token is in the Secret of the chart's value downloads.tokenSecret"
    return "the token is in HF_TOKEN"
