"""What both resources have: typed spec and status, beside the metadata that a write or a deletion needs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from berth_api.schema import Schema

SpecT = TypeVar("SpecT", bound=Schema)
StatusT = TypeVar("StatusT", bound=Schema)


@dataclass(frozen=True, slots=True)
class Resource(Generic[SpecT, StatusT]):
    """A resource as it was read from the cluster."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int
    created_at: datetime
    deleting: bool
    labels: dict[str, str]
    spec: SpecT
    status: StatusT

    @classmethod
    def read(cls, manifest: dict[str, Any], spec: type[SpecT], status: type[StatusT]) -> Self:
        """Reads a manifest into the types of this kind.

        Raises pydantic.ValidationError where the API server would have refused the manifest.
        """
        metadata: dict[str, Any] = manifest["metadata"]
        return cls(
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            generation=metadata.get("generation", 1),
            created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting="deletionTimestamp" in metadata,
            labels=metadata.get("labels") or {},
            spec=spec.model_validate(manifest.get("spec")),
            status=status.model_validate(manifest.get("status") or {}),
        )
