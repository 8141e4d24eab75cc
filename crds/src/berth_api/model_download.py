"""The ModelDownload resource: the download of one model from a hub into the model store.

`kubectl explain mdl.spec` prints the descriptions of the fields.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from berth_api.conditions import Condition
from berth_api.repository import (
    DEFAULT_REVISION,
    DESTINATION_LENGTH,
    DESTINATION_PATTERN,
    FILE_SUFFIX,
    GLOB_LENGTH,
    GLOB_PATTERN,
    GLOBS,
    QUANTIZATION_LENGTH,
    QUANTIZATION_PATTERN,
    REPOSITORY_LENGTH,
    REPOSITORY_PATTERN,
    REVISION_LENGTH,
    REVISION_PATTERN,
    checked_destination,
    checked_globs,
    checked_repository,
    checked_revision,
)
from berth_api.resource import Resource
from berth_api.schema import Schema, Timestamp
from berth_cluster.names import slug

NAME_LENGTH = 52
"""A download's name is a label of its pods, and the names of its Jobs, of at most 63 characters, begin with it."""

_DIGEST_LENGTH = 10


class DownloadPhase(StrEnum):
    """The state of a download, in one word."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def finished(self) -> bool:
        """Whether the download has ended."""
        return self in (DownloadPhase.SUCCEEDED, DownloadPhase.FAILED)


RepositoryName = Annotated[
    str, Field(max_length=REPOSITORY_LENGTH, pattern=REPOSITORY_PATTERN), AfterValidator(checked_repository)
]
Revision = Annotated[str, Field(max_length=REVISION_LENGTH, pattern=REVISION_PATTERN), AfterValidator(checked_revision)]
DestinationName = Annotated[
    str, Field(max_length=DESTINATION_LENGTH, pattern=DESTINATION_PATTERN), AfterValidator(checked_destination)
]
QuantizationName = Annotated[str, Field(max_length=QUANTIZATION_LENGTH, pattern=QUANTIZATION_PATTERN)]
Glob = Annotated[str, Field(max_length=GLOB_LENGTH, pattern=GLOB_PATTERN)]
Include = Annotated[list[Glob], Field(max_length=GLOBS), AfterValidator(lambda globs: checked_globs("include", globs))]
Exclude = Annotated[list[Glob], Field(max_length=GLOBS), AfterValidator(lambda globs: checked_globs("exclude", globs))]


class ModelDownloadSpec(Schema):
    """Which files to download from which repository, and to where. It cannot be changed: make another ModelDownload."""

    repository: RepositoryName = Field(
        description="The repository on the hub, as org/name, such as bartowski/SmolLM2-135M-Instruct-GGUF.",
    )
    revision: Revision = Field(
        default=DEFAULT_REVISION,
        description="A branch, a tag or a commit. What it means at the start is downloaded: see status.commit.",
    )
    destination: DestinationName | None = Field(
        default=None,
        description="Folder of the model in the model store, as NAME or FOLDER/NAME. "
        "Unset: the repository's name, with -QUANTIZATION, in capitals, after it where one is given.",
    )
    quantization: QuantizationName | None = Field(
        default=None,
        description="Which quantization to download from a repository with several, such as Q4_K_M, in any case.",
    )
    include: Include | None = Field(
        default=None,
        description="Patterns of file names, such as *.safetensors: only files that match one of them are downloaded. "
        "Unset: all files that engines use.",
    )
    exclude: Exclude | None = Field(
        default=None, description="Patterns of file names, such as original/*: files that match one are left out."
    )


class ModelDownloadStatus(Schema):
    """The present state. The operator writes all of it."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that this status is about."
    )
    phase: DownloadPhase | None = Field(
        default=None,
        description="Pending (waits to run), Running, Succeeded (the model is in the store) or Failed (see message).",
    )
    reason: str | None = Field(
        default=None, max_length=128, description="Why it is in this state, as one CamelCase word for programs."
    )
    message: str | None = Field(
        default=None, max_length=32768, description="Why it is in this state, and what to do, for people."
    )
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        description="Ready (the model is in the store), Reconciling and Stalled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    progress: str | None = Field(
        default=None, max_length=16, description="Share of the bytes that are in the store, such as 42%."
    )
    commit: str | None = Field(
        default=None, max_length=64, description="The commit that the revision meant when the download began."
    )
    bytes_done: int | None = Field(
        default=None, ge=0, description="Bytes that are in the store, of the files that are downloaded."
    )
    bytes_total: int | None = Field(default=None, ge=0, description="Bytes of the files that are downloaded.")
    bytes_fetched: int | None = Field(
        default=None, ge=0, description="Bytes that came over the network, those included that were fetched twice."
    )
    bytes_per_second: int | None = Field(default=None, ge=0, description="Speed over the last seconds, while it runs.")
    eta_seconds: int | None = Field(
        default=None, ge=0, description="Seconds that the download still takes at this speed, while it runs."
    )
    files_done: int | None = Field(default=None, ge=0, description="Files that are complete and checked.")
    files_total: int | None = Field(default=None, ge=0, description="Files that are downloaded.")
    job_name: str | None = Field(default=None, max_length=253, description="The Job that does the work.")
    started_at: Timestamp | None = Field(default=None, description="When the operator made the Job.")
    finished_at: Timestamp | None = Field(
        default=None, description="When the operator saw that it had succeeded or failed."
    )


@dataclass(frozen=True, slots=True)
class ModelDownload(Resource[ModelDownloadSpec, ModelDownloadStatus]):
    """A ModelDownload as it was read."""

    @classmethod
    def parse(cls, manifest: dict[str, Any]) -> Self:
        """Reads a manifest. Raises pydantic.ValidationError where the API server would have refused it."""
        return cls.read(manifest, ModelDownloadSpec, ModelDownloadStatus)

    @property
    def destination(self) -> str:
        """The model's folder, relative to the store."""
        return destination_of(self.spec)


def default_destination(repository: str, quantization: str | None = None) -> str:
    """The model's folder where none is stated, relative to the store: the repository's name, and the quantization."""
    name = repository.rsplit("/", 1)[-1].removesuffix(FILE_SUFFIX)
    return f"{name}-{quantization.upper()}" if quantization else name


def destination_of(spec: ModelDownloadSpec) -> str:
    """The model's folder, relative to the store."""
    return spec.destination or default_destination(spec.repository, spec.quantization)


def download_name(spec: ModelDownloadSpec) -> str:
    """The name of a download: a readable slug, and a digest of content and destination. Equal specs have one name."""
    canonical = {
        "repository": spec.repository,
        "revision": spec.revision,
        "destination": destination_of(spec),
        "quantization": spec.quantization.upper() if spec.quantization else None,
        "include": sorted(set(spec.include or [])),
        "exclude": sorted(set(spec.exclude or [])),
    }
    digest = hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{slug(destination_of(spec))}-{digest[:_DIGEST_LENGTH]}"
