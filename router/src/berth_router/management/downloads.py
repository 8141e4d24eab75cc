"""/v1/models/download: downloads of models from the hub into the store."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_api.model_deployment import MODEL_STORE
from berth_api.model_download import DownloadPhase, ModelDownload
from berth_router.management.download_fields import SourceFields, checked_spec
from berth_router.store.model_downloads import Downloads


class DownloadRequest(SourceFields):
    """What to download."""


class DownloadAnswer(BaseModel):
    """The download of a request."""

    job_id: str = Field(description="The download's name; the same for the same content.")
    status: DownloadPhase = Field(description="Pending, Running or Succeeded.")
    destination: str = Field(description="The model's path in the store: what to send as `model` once it is there.")
    message: str


class DownloadState(BaseModel):
    """How far a download is. null: not known, or not yet."""

    job_id: str = Field(description="Name of the ModelDownload.")
    repository: str = Field(description="org/name.")
    revision: str = Field(description="The branch, tag or commit that was asked for.")
    quantization: str | None = Field(description="The quantization that was asked for.")
    destination: str = Field(description="The model's path in the store.")
    phase: DownloadPhase = Field(description="Pending, Running, Succeeded or Failed.")
    reason: str | None = Field(description="Why it is as it is, in one word.")
    message: str | None = Field(description="Why it is as it is, and what to do, for people.")
    commit: str | None = Field(description="The commit that the revision stood for when it began.")
    bytes_done: int | None = Field(description="Bytes in the store.")
    bytes_total: int | None = Field(description="Bytes of all files.")
    bytes_fetched: int | None = Field(description="Bytes that came over the network, with those that came twice.")
    bytes_per_second: int | None = Field(description="Speed of the last seconds, while it runs.")
    eta_seconds: int | None = Field(description="Seconds that are left at this speed.")
    files_done: int | None = Field(description="Files that are complete and checked.")
    files_total: int | None = Field(description="Number of all files.")
    started_at: datetime | None = Field(description="When its Job was created.")
    finished_at: datetime | None = Field(description="When it succeeded or failed.")


class DownloadList(BaseModel):
    """All downloads."""

    downloads: list[DownloadState]
    total_count: int


class Cancelled(BaseModel):
    """What was cancelled."""

    job_id: str = Field(description="The download's name.")
    message: str


def download_routes(downloads: Downloads, endpoint: str) -> APIRouter:
    """The routes about downloads from the hub at `endpoint`."""
    routes = APIRouter(tags=["downloads"])

    @routes.post("/v1/models/download", summary="Download a model")
    async def download(request: DownloadRequest) -> DownloadAnswer:  # pyright: ignore[reportUnusedFunction]
        """Begins a download, or returns the existing one: the same content for the same place is one download for all.

        One that failed is tried again. 409: the place has other content, or another download fills it.
        """
        found = await downloads.request(checked_spec(request, endpoint))
        phase, place = _phase(found), f"{MODEL_STORE}/{found.destination}"
        done = f"{place} is there." if phase is DownloadPhase.SUCCEEDED else f"{place} is being downloaded."
        message = f"{done} GET /v1/models/download/{found.name} tells how far it is."
        return DownloadAnswer(job_id=found.name, status=phase, destination=place, message=message)

    @routes.get("/v1/models/download", summary="All downloads")
    async def list_downloads() -> DownloadList:  # pyright: ignore[reportUnusedFunction]
        """Every download that runs, and those that ended a short while ago."""
        found = [_described(one) for one in await downloads.all() if not one.deleting]
        return DownloadList(downloads=found, total_count=len(found))

    @routes.get("/v1/models/download/{job_id}", summary="How far a download is")
    async def show_download(job_id: str) -> DownloadState:  # pyright: ignore[reportUnusedFunction]
        """Bytes, files, speed, and why it waits or failed."""
        return _described(await downloads.get(job_id))

    @routes.delete("/v1/models/download/{job_id}", summary="Cancel a download")
    async def cancel(job_id: str) -> Cancelled:  # pyright: ignore[reportUnusedFunction]
        """Ends a download and deletes its partial files.

        Of one that has succeeded, only the record is deleted; the model stays.
        """
        found = await downloads.cancel(job_id)
        if found is None:
            return Cancelled(
                job_id=job_id,
                message="The download is deleted. It was of a version that this one cannot read.",
            )
        kept = (
            f"{MODEL_STORE}/{found.destination} stays in the store"
            if _phase(found) is DownloadPhase.SUCCEEDED
            else "it is cancelled"
        )
        return Cancelled(job_id=found.name, message=f"The download is deleted; {kept}.")

    return routes


def _phase(download: ModelDownload) -> DownloadPhase:
    return download.status.phase or DownloadPhase.PENDING


def _described(download: ModelDownload) -> DownloadState:
    spec, status = download.spec, download.status
    return DownloadState(
        job_id=download.name,
        repository=spec.repository,
        revision=spec.revision,
        quantization=spec.quantization,
        destination=f"{MODEL_STORE}/{download.destination}",
        phase=_phase(download),
        reason=status.reason,
        message=status.message,
        commit=status.commit,
        bytes_done=status.bytes_done,
        bytes_total=status.bytes_total,
        bytes_fetched=status.bytes_fetched,
        bytes_per_second=status.bytes_per_second,
        eta_seconds=status.eta_seconds,
        files_done=status.files_done,
        files_total=status.files_total,
        started_at=status.started_at,
        finished_at=status.finished_at,
    )
