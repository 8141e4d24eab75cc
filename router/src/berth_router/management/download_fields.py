"""The fields that requests about repositories have in common, and their checks."""

from pydantic import BaseModel, Field

from berth_api.model_download import ModelDownloadSpec
from berth_api.repository import (
    InvalidSourceError,
    checked_destination,
    checked_globs,
    checked_quantization,
    parse_source,
)
from berth_router.errors import InvalidRequestError


class SourceFields(BaseModel):
    """Which repository, and which of its files."""

    url: str = Field(
        max_length=2048,
        description="The repository: org/name, org/name@REVISION, or its address on the hub, also with /tree/REVISION.",
    )
    quantization: str | None = Field(
        default=None, description="Only the files of this quantization, such as Q4_K_M; case does not matter."
    )
    include: list[str] = Field(
        default_factory=list,
        description="Patterns, such as *.safetensors: only files that match one. Unset: what engines use.",
    )
    exclude: list[str] = Field(
        default_factory=list, description="Patterns, such as original/*: no file that matches one."
    )
    destination: str | None = Field(
        default=None,
        description="Folder in the store, NAME or FOLDER/NAME. Unset: the repository's name, then the quantization.",
    )


def checked_spec(fields: SourceFields, endpoint: str) -> ModelDownloadSpec:
    """The download that the fields ask for, from the hub at `endpoint`.

    Raises InvalidRequestError, whose param is the wrong field.
    """
    try:
        source = parse_source(fields.url, [endpoint])
        return ModelDownloadSpec(
            repository=source.repository,
            revision=source.revision,
            destination=checked_destination(fields.destination) if fields.destination else None,
            quantization=checked_quantization(fields.quantization) if fields.quantization else None,
            include=checked_globs("include", fields.include) or None,
            exclude=checked_globs("exclude", fields.exclude) or None,
        )
    except InvalidSourceError as error:
        param = error.field if error.field in SourceFields.model_fields else "url"
        raise InvalidRequestError(f"`{param}`: {error.message}.", param=param, code="invalid_value") from error
