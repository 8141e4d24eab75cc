"""POST /v1/models/verify-repo: what a download would bring, before it is made."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_api.model_deployment import MODEL_STORE, Backend, Device
from berth_api.model_download import destination_of
from berth_api.repository import Source
from berth_formats.contents import contents_of
from berth_router.errors import RequestConflictError
from berth_router.management.download_fields import SourceFields, checked_spec
from berth_router.management.inventory import recommended_backends
from berth_router.store.hub_lookup import HubLookup, RequestedFiles
from berth_router.store.model_downloads import Downloads


class VerifyRequest(SourceFields):
    """The repository in question, as it would be downloaded."""


class SizedFile(BaseModel):
    """A file that a download would take."""

    name: str
    size: int = Field(description="In bytes.")


class SizedQuantization(BaseModel):
    """A quantization that can be asked for."""

    name: str
    size: int = Field(description="Of its files, in bytes.")


class Verification(BaseModel):
    """What the repository has, and what a download would take."""

    repository: str = Field(description="org/name.")
    exists: bool = Field(description="Whether the hub shows such a repository to this installation.")
    gated: bool = Field(description="Whether only users whom its owner admits can read it.")
    private: bool
    revision: str = Field(description="What was asked for.")
    commit: str | None = Field(description="The commit that the revision stands for now. null: there is none.")
    destination: str = Field(description="The model's path in the store, if it were downloaded.")
    files: list[SizedFile] = Field(description="The files that a download would take.")
    total_bytes: int = Field(description="Their size.")
    free_bytes: int | None = Field(description="Free space of the store. null: not known.")
    quantizations: list[SizedQuantization] = Field(
        description="The quantizations that the repository has, smallest first."
    )
    recommended_backends: list[Backend] = Field(
        description="Engines of this installation that take the files, the best first."
    )
    downloadable: bool = Field(description="Whether a download would begin, as far as is known now.")
    warnings: list[str] = Field(description="What prevents it, and what to do.")


@dataclass(frozen=True, slots=True)
class Space:
    """Where the store is, and how many bytes of it downloads leave free."""

    store: Path
    kept_free: int

    def free(self) -> int | None:
        """Free bytes. None: not known."""
        try:
            return shutil.disk_usage(self.store).free
        except OSError:
            return None


def verify_routes(
    hub: HubLookup, downloads: Downloads, space: Space, engines: Mapping[Backend, Sequence[Device]]
) -> APIRouter:
    """The route. `engines`: the devices that each backend has an image for."""
    routes = APIRouter(tags=["downloads"])

    @routes.post("/v1/models/verify-repo", summary="What a download would bring")
    async def verify(request: VerifyRequest) -> Verification:  # pyright: ignore[reportUnusedFunction]
        """Asks the hub about a repository, and this installation whether it has room and an engine for it.

        Downloads nothing.
        """
        spec = checked_spec(request, hub.endpoint)
        preview = await hub.preview(
            Source(spec.repository, spec.revision),
            RequestedFiles(spec.quantization, spec.include or (), spec.exclude or ()),
        )
        free = await asyncio.to_thread(space.free)
        obstacles = [preview.problem] if preview.problem else []
        total = sum(file.size for file in preview.files)
        if free is not None and total > free - space.kept_free:
            obstacles.append(
                f"It needs {total} bytes. The model store has {free} left, of which {space.kept_free} stay free:"
                " delete a model, or enlarge the store."
            )
        try:
            await downloads.check_place(spec)
        except RequestConflictError as error:
            obstacles.append(error.message)
        backends = recommended_backends(contents_of((file.name, file.size) for file in preview.files).formats, engines)
        warnings = [*obstacles]
        if preview.files and not backends:
            warnings.append("This installation has no engine that takes these files.")
        return Verification(
            repository=spec.repository,
            exists=preview.exists,
            gated=preview.gated,
            private=preview.private,
            revision=spec.revision,
            commit=preview.commit,
            destination=f"{MODEL_STORE}/{destination_of(spec)}",
            files=[SizedFile(name=file.name, size=file.size) for file in preview.files],
            total_bytes=total,
            free_bytes=free,
            quantizations=[SizedQuantization(name=one.name, size=one.size) for one in preview.quantizations],
            recommended_backends=backends,
            downloadable=not obstacles,
            warnings=warnings,
        )

    return routes
