"""ModelDownload objects: which one a request is about, and whether it may be made. The operator does the rest.

The same content for the same place is one ModelDownload, whoever asks and however often. A request for other content at
a place that is taken, or is being filled, is refused.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import structlog
from pydantic import ValidationError

from berth_api.model_deployment import MODEL_STORE
from berth_api.model_download import DownloadPhase, ModelDownload, ModelDownloadSpec, destination_of, download_name
from berth_cluster.cluster import (
    LABEL_MANAGED_BY,
    MODEL_DOWNLOADS,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_cluster.cluster import ConflictError as ChangedError
from berth_cluster.names import is_object_name
from berth_formats.errors import FormatError
from berth_process.settings_validation import findings
from berth_router import MANAGER
from berth_router.errors import (
    APIError,
    InvalidRequestError,
    RequestConflictError,
    ServiceUnavailableError,
    UnknownPathError,
    UnreadableObjectError,
)
from berth_router.store.descriptions import origin_of
from berth_router.store.model_store import is_absence, store_unavailable

_log = structlog.get_logger(__name__)

_TRIES = 5
"""How often a request tries again while others change the same download."""


def parsed(items: Iterable[Object]) -> list[ModelDownload]:
    """The downloads, by name, without those that this version of Berth cannot read."""
    downloads: list[ModelDownload] = []
    for item in items:
        try:
            downloads.append(ModelDownload.parse(item))
        except ValidationError as error:
            _log.warning("download_not_understood", name=item["metadata"]["name"], error=str(error))
    return sorted(downloads, key=lambda download: download.name)


def _understood(item: Object) -> ModelDownload:
    """The download. Raises UnreadableObjectError."""
    try:
        return ModelDownload.parse(item)
    except ValidationError as error:
        name = item["metadata"]["name"]
        raise UnreadableObjectError(
            f"The ModelDownload {name} cannot be read by this version of Berth: {findings(error)}."
            f" DELETE /v1/models/download/{name} deletes it; models that are in the store stay.",
            code="download_not_understood",
        ) from error


def unfinished(items: Iterable[Object]) -> list[ModelDownload]:
    """The downloads that have not ended."""
    return [download for download in parsed(items) if not (download.status.phase and download.status.phase.finished)]


class Downloads:
    """Makes, finds and cancels downloads. `root`: where the store is."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self._cluster = cluster
        self._root = root

    async def all(self) -> list[ModelDownload]:
        """Every download there is. Raises APIError."""
        try:
            return parsed((await self._cluster.list(MODEL_DOWNLOADS)).items)
        except ClusterError as error:
            raise _refusal(error) from error

    async def get(self, name: str) -> ModelDownload:
        """The download of this name. Raises APIError."""
        return _understood(await self._read(name))

    async def request(self, spec: ModelDownloadSpec) -> ModelDownload:
        """The download of this content: the existing one, or a new one.

        One that failed, or whose files are gone, is replaced. Raises RequestConflictError where its place is not free,
        or another APIError.
        """
        name = download_name(spec)
        try:
            for _ in range(_TRIES):
                found = await self._find(name)
                if found and not await self._to_repeat(found):
                    return found
                await self.check_place(spec)
                if found:
                    await self._delete(found.name, found.uid)
                if created := await self._create(spec, name):
                    return created
        except ClusterError as error:
            raise _refusal(error) from error
        raise ServiceUnavailableError(
            f"The download {name} is being cancelled.", code="download_changing", retry_after=2
        )

    async def cancel(self, name: str) -> ModelDownload | None:
        """Deletes the download and its partial files. A model that it has finished stays in the store.

        Returns what it was; None where this version of Berth cannot read it. Raises APIError.
        """
        found = await self._read(name)
        try:
            await self._delete(name, found["metadata"]["uid"])
        except ClusterError as error:
            raise _refusal(error) from error
        try:
            return ModelDownload.parse(found)
        except ValidationError:
            return None

    async def _read(self, name: str) -> Object:
        """The download as the cluster has it. Raises APIError."""
        if not is_object_name(name):
            raise _not_found(name)
        try:
            return await self._cluster.get(MODEL_DOWNLOADS, name)
        except NotFoundError as error:
            raise _not_found(name) from error
        except ClusterError as error:
            raise _refusal(error) from error

    async def _find(self, name: str) -> ModelDownload | None:
        """The download of this name, if there is one. Raises ClusterError, or UnreadableObjectError."""
        try:
            return _understood(await self._cluster.get(MODEL_DOWNLOADS, name))
        except NotFoundError:
            return None

    async def _to_repeat(self, download: ModelDownload) -> bool:
        """Whether the download is to be replaced: it failed, or its model is gone."""
        if download.deleting or download.status.phase is DownloadPhase.FAILED:
            return True
        if download.status.phase is not DownloadPhase.SUCCEEDED:
            return False
        return not await asyncio.to_thread(_is_there, self._root / download.destination)

    async def check_place(self, spec: ModelDownloadSpec) -> None:
        """Raises RequestConflictError where another model or download is at the place, above it or below it."""
        name, destination = download_name(spec), destination_of(spec)
        try:
            others = unfinished((await self._cluster.list(MODEL_DOWNLOADS)).items)
        except ClusterError as error:
            raise _refusal(error) from error
        rivals = [
            other
            for other in others
            if other.name != name and not other.deleting and _overlap(other.destination, destination)
        ]
        if rivals:
            named = ", ".join(f"{rival.name} ({rival.spec.repository}@{rival.spec.revision})" for rival in rivals)
            raise RequestConflictError(
                f"{MODEL_STORE}/{destination} is being filled by another download: {named}. Wait for it, cancel it with"
                " DELETE /v1/models/download/JOB_ID, or state another `destination`.",
                param="destination",
                code="destination_taken",
            )
        taken = await asyncio.to_thread(_what_is_there, self._root, destination, spec.repository)
        if taken:
            raise RequestConflictError(
                f"{MODEL_STORE}/{destination} {taken}. State another `destination`, or delete that model first with"
                f" DELETE /v1/models/inventory/{destination}.",
                param="destination",
                code="destination_taken",
            )

    async def _delete(self, name: str, uid: str) -> None:
        try:
            await self._cluster.delete(MODEL_DOWNLOADS, name, Preconditions(uid))
        except (NotFoundError, ChangedError):  # it is deleted or replaced already
            return
        _log.info("download_deleted", download=name)

    async def _create(self, spec: ModelDownloadSpec, name: str) -> ModelDownload | None:
        """The new download. None: another request made one of this name meanwhile."""
        manifest: Object = {
            "apiVersion": MODEL_DOWNLOADS.api_version,
            "kind": MODEL_DOWNLOADS.kind,
            "metadata": {"name": name, "labels": {LABEL_MANAGED_BY: MANAGER}},
            "spec": spec.manifest(),
        }
        try:
            created = await self._cluster.create(MODEL_DOWNLOADS, manifest)
        except AlreadyExistsError:
            return None
        _log.info("download_created", download=name, repository=spec.repository)
        return _understood(created)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _is_there(place: Path) -> bool:
    """Whether anything is at the place. Raises ServiceUnavailableError where the store fails."""
    try:
        place.stat()
    except OSError as error:
        if is_absence(error):
            return False
        raise store_unavailable(error) from error
    return True


def _what_is_there(root: Path, destination: str, repository: str) -> str | None:
    """What at its place prevents a download: a text to follow the place's name. None: nothing does.

    A model of the same repository does not: the download compares the files. Raises ServiceUnavailableError where the
    store fails.
    """
    place = root / destination
    try:
        if place.parent != root and origin_of(place.parent):
            return f"lies inside the model {MODEL_STORE}/{place.parent.relative_to(root)}"
        if not place.is_dir():
            return "is a file" if place.exists() else None
        origin = origin_of(place)
        if origin is None:
            return "holds something that was not downloaded" if any(place.iterdir()) else None
    except FormatError as error:
        if isinstance(error.__cause__, OSError):
            raise store_unavailable(error.__cause__) from error
        return f"holds a model of which {error}"
    except OSError as error:
        raise store_unavailable(error) from error
    return None if origin.repository == repository else f"holds the model {origin.repository}@{origin.commit[:12]}"


def _not_found(name: str) -> UnknownPathError:
    return UnknownPathError(
        f"There is no download {name[:100]!r}: it was cancelled, or it ended a while ago."
        " GET /v1/models/download lists those there are.",
        code="download_not_found",
    )


def _refusal(error: ClusterError) -> APIError:
    if isinstance(error, InvalidError):
        return InvalidRequestError(f"The download cannot be made: {error}", code="invalid_value")
    if isinstance(error, ForbiddenError):
        return ServiceUnavailableError(
            f"The cluster does not let downloads be made: {error}", code="cluster_forbids", retry_after=60
        )
    return ServiceUnavailableError(
        f"The cluster cannot be asked about downloads now: {error}", code="cluster_unavailable"
    )
