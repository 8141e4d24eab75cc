"""The base of every type that is written to the cluster: camelCase in the cluster, snake_case in Python."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


class Schema(BaseModel):
    """A part of a resource. It ignores unknown fields, so that an older version can read what a newer one wrote."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def manifest(self) -> dict[str, Any]:
        """The JSON object as the API server stores it: camelCase keys, and no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: Kubernetes' own whole seconds are too coarse for the steps of a start."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(format_timestamp, return_type=str)]
"""A moment with a time zone; written as RFC 3339 in UTC with milliseconds."""
