"""The errors of a download or of a look at a repository. Each has a reason for programs and a message for people."""

from typing import ClassVar


class DownloadError(Exception):
    """The base of all. The message says what to do, and never holds a token or a signed URL."""

    reason: ClassVar[str] = "DownloadFailed"
    """One CamelCase word, as in a condition."""

    permanent: ClassVar[bool] = True
    """Whether another try would end in the same way."""


class HubError(DownloadError):
    """The hub refused, or could not be asked."""


class RepositoryNotFoundError(HubError):
    """There is no such repository, or it is private."""

    reason = "RepositoryNotFound"


class RepositoryGatedError(HubError):
    """Its owner lets only some accounts read its files, and the token is of another one."""

    reason = "RepositoryGated"


class RepositoryDisabledError(HubError):
    """The hub has closed the repository."""

    reason = "RepositoryDisabled"


class RevisionNotFoundError(HubError):
    """The repository has no such branch, tag or commit, or the commit lacks a file that was listed."""

    reason = "RevisionNotFound"


class TokenRefusedError(HubError):
    """The hub does not accept the token."""

    reason = "TokenRefused"


class HubOfflineError(HubError):
    """The client is told to be offline, and asks no hub."""

    reason = "HubOffline"


class RateLimitedError(HubError):
    """The hub limits requests. `retry_after`: for how many seconds. None: it does not say."""

    reason = "RateLimited"
    permanent = False

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HubUnavailableError(HubError):
    """The hub cannot be reached, fails, or breaks off its answer."""

    reason = "HubUnavailable"
    permanent = False


class ContentMismatchError(HubError):
    """A file is not what the repository states, even when it is fetched again."""

    reason = "ContentMismatch"


class SelectionError(DownloadError):
    """The repository has no files that fit the request."""

    reason = "NothingSelected"


class QuantizationRequiredError(SelectionError):
    """There are several quantizations, and the request names none."""

    reason = "QuantizationRequired"


class QuantizationNotFoundError(SelectionError):
    """The repository does not have the quantization that the request names."""

    reason = "QuantizationNotFound"


class PicklesOnlyError(SelectionError):
    """The only weights are pickles, which run code when they are loaded."""

    reason = "PicklesOnly"


class StoreError(DownloadError):
    """The model store cannot be read or written."""

    reason = "StoreUnavailable"
    permanent = False


class InsufficientStorageError(StoreError):
    """The store has no space for it beside what is reserved for other downloads."""

    reason = "InsufficientStorage"
    permanent = True


class DestinationTakenError(StoreError):
    """Something else is at the destination. Berth never overwrites it."""

    reason = "DestinationTaken"
    permanent = True


class StagingBusyError(StoreError):
    """Another process works on the same download."""

    reason = "StagingBusy"
