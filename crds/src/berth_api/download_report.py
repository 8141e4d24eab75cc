"""What a download reports: over HTTP while it runs, and as its container's termination message at the end."""

from enum import StrEnum
from typing import Self

from pydantic import Field, ValidationError

from berth_api.schema import Schema
from berth_process.settings_error import EXIT_WRONG_SETTINGS

REPORT_BYTES = 4096
"""Bytes of the longest report: Kubernetes keeps no more of a termination message."""

EXIT_FAILED = 3
"""Exit code of a download that failed for good: another try would end in the same way."""

FINAL_EXITS = (EXIT_WRONG_SETTINGS, EXIT_FAILED)
"""Exit codes after which there is no other try."""


class DownloadStep(StrEnum):
    """What a download does now, or how it ended."""

    LISTING = "Listing"
    DOWNLOADING = "Downloading"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class DownloadReport(Schema):
    """A download's report."""

    phase: DownloadStep
    reason: str | None = Field(default=None, max_length=128)
    message: str | None = Field(default=None, max_length=REPORT_BYTES)
    commit: str | None = Field(default=None, max_length=64)
    bytes_done: int | None = Field(default=None, ge=0)
    bytes_total: int | None = Field(default=None, ge=0)
    bytes_fetched: int | None = Field(default=None, ge=0)
    files_done: int | None = Field(default=None, ge=0)
    files_total: int | None = Field(default=None, ge=0)

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """The report in a JSON text; None where the text is no report."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
