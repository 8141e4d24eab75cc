"""What ends a download, or a look at a repository:
each with a reason for programs and a message that says what to do.
"""

from typing import ClassVar


class DownloadError(Exception):
    """The base of all. The message is for people and never holds a token or a signed URL."""

    reason: ClassVar[str] = "DownloadFailed"
    """One CamelCase word, as in a condition."""

    permanent: ClassVar[bool] = True
    """Whether another try of the same would end the same."""


class HubError(DownloadError):
    """The hub refused, or could not be asked."""


class RepositoryNotFoundError(HubError):
    """There is no such repository, or nobody may know of it."""

    reason = "RepositoryNotFound"


class RepositoryGatedError(HubError):
    """Its owner lets only some read its files, and the token is not one of theirs."""

    reason = "RepositoryGated"


class RepositoryDisabledError(HubError):
    """The hub has closed the repository."""

    reason = "RepositoryDisabled"


class RevisionNotFoundError(HubError):
    """The repository has no such branch, tag or commit, or the commit does not have a file that it was said to have."""

    reason = "RevisionNotFound"


class TokenRefusedError(HubError):
    """The hub does not take the token at all."""

    reason = "TokenRefused"


class RateLimitedError(HubError):
    """The hub asks for retry_policy. `retry_after`: seconds, where it says how long."""

    reason = "RateLimited"
    permanent = False

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubUnavailableError(HubError):
    """The hub cannot be reached, fails, or breaks off."""

    reason = "HubUnavailable"
    permanent = False


class ContentMismatchError(HubError):
    """A file is not what the repository states of it, however often it is fetched."""

    reason = "ContentMismatch"


class SelectionError(DownloadError):
    """The repository has no files that fit what was asked for."""

    reason = "NothingSelected"


class QuantizationRequiredError(SelectionError):
    """There are several quantizations and none was named."""

    reason = "QuantizationRequired"


class QuantizationNotFoundError(SelectionError):
    """The quantization that was named is not there."""

    reason = "QuantizationNotFound"


class PicklesOnlyError(SelectionError):
    """The only weights are pickles, which run code when they are loaded."""

    reason = "PicklesOnly"


class StoreError(DownloadError):
    """The model store cannot be read or written."""

    reason = "StoreUnavailable"
    permanent = False


class InsufficientStorageError(StoreError):
    """The store has no room for it beside what other downloads were promised."""

    reason = "InsufficientStorage"
    permanent = True


class DestinationTakenError(StoreError):
    """At the destination is something else, which is never overwritten."""

    reason = "DestinationTaken"
    permanent = True


class StagingBusyError(StoreError):
    """Another process is at work on the same download."""

    reason = "StagingBusy"
