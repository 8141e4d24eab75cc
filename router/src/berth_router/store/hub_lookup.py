"""What a repository of the hub has, before a download.

The hub's library is imported when it is first needed: many routers never need it. Threads ask the hub, a few at a time,
for no longer than a caller waits for an answer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from berth_api.repository import Source
from berth_process.settings_error import SettingsError
from berth_router.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from berth_hub.repository import Repository

LOOKUP_SECONDS = 25.0
"""How long the hub has for an answer."""

_LOOKUPS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class RequestedFiles:
    """Which files of a repository a download would take: see berth_hub.selection."""

    quantization: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SizedName:
    """A file, or a quantization, and its bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class RepositoryPreview:
    """What a repository has. `problem`: why a download would fail; None: nothing is known to prevent it."""

    exists: bool
    problem: str | None = None
    gated: bool = False
    private: bool = False
    commit: str | None = None
    files: Sequence[SizedName] = ()
    quantizations: Sequence[SizedName] = ()


class HubLookup:
    """The hub that the administrator chose. `token`: for repositories that are not public; it appears nowhere."""

    def __init__(self, endpoint: str, token: str | None, *, allow_pickle: bool) -> None:
        self.endpoint = endpoint
        self._token = token
        self._allow_pickle = allow_pickle
        self._places = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    async def preview(self, source: Source, requested: RequestedFiles) -> RepositoryPreview:
        """What the repository has, and what a download would take. Raises ServiceUnavailableError: no answer."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._places:
                return await asyncio.to_thread(self._preview, source, requested)
        except TimeoutError as error:
            raise ServiceUnavailableError(
                f"{self.endpoint} did not answer within {LOOKUP_SECONDS:g} s.", code="hub_unavailable", retry_after=10
            ) from error

    def _preview(self, source: Source, requested: RequestedFiles) -> RepositoryPreview:
        from berth_hub import errors  # noqa: PLC0415 (late, see above)
        from berth_hub.client_environment import open_client  # noqa: PLC0415
        from berth_hub.listing import list_repository  # noqa: PLC0415

        try:
            open_client()
            repository = list_repository(source.repository, source.revision, self.endpoint, self._token)
        except SettingsError as error:
            raise ServiceUnavailableError(str(error), code="hub_setting_wrong", retry_after=60) from error
        except errors.RepositoryNotFoundError as error:
            return RepositoryPreview(exists=False, problem=str(error))
        except errors.RepositoryGatedError as error:
            return RepositoryPreview(exists=True, gated=True, problem=str(error))
        except (errors.RevisionNotFoundError, errors.RepositoryDisabledError) as error:
            return RepositoryPreview(exists=True, problem=str(error))
        except errors.RateLimitedError as error:
            raise ServiceUnavailableError(
                str(error), code="hub_rate_limit", retry_after=error.retry_after or 30
            ) from error
        except errors.DownloadError as error:
            raise ServiceUnavailableError(str(error), code="hub_unavailable", retry_after=10) from error
        return self._preview_of(repository, requested)

    def _preview_of(self, repository: "Repository", requested: RequestedFiles) -> RepositoryPreview:
        from berth_hub.errors import DownloadError  # noqa: PLC0415
        from berth_hub.listing import check_access  # noqa: PLC0415
        from berth_hub.selection import Selection, quantizations, select  # noqa: PLC0415

        problem: str | None = None
        files: Sequence[SizedName] = ()
        try:
            selection = Selection(requested.quantization, requested.include, requested.exclude, self._allow_pickle)
            files = [SizedName(file.path, file.size) for file in select(repository.files, selection)]
            if repository.gated and files:
                check_access(repository.name, repository.commit, files[0].name, self.endpoint, self._token)
        except DownloadError as error:
            problem = str(error)
        return RepositoryPreview(
            exists=True,
            problem=problem,
            gated=repository.gated,
            private=repository.private,
            commit=repository.commit,
            files=files,
            quantizations=[SizedName(one.name, one.size) for one in quantizations(repository.files)],
        )
