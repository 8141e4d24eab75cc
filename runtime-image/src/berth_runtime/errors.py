"""Every way a launch can fail before the engine runs.

Each error is printed as one line, `Reason: message`. The operator puts the reason into the resource's condition, and
gives the message to the people who wait. The exit codes are those of sysexits.h, so that they can be told apart in a
bare `docker run` too.
"""

from typing import ClassVar

# The kubelet cuts the message of a container at 4096 bytes, and of all containers of a pod at 12 KiB.
MAX_LINE_CHARACTERS = 1000


class LaunchError(Exception):
    """The engine was not started. The message says what is wrong and what would be right."""

    reason: ClassVar[str] = "LaunchFailed"
    exit_code: ClassVar[int] = 70  # EX_SOFTWARE

    def line(self) -> str:
        """`Reason: message` on one line, at most `MAX_LINE_CHARACTERS` long."""
        line = " ".join(f"{self.reason}: {self}".split())
        return line if len(line) <= MAX_LINE_CHARACTERS else line[: MAX_LINE_CHARACTERS - 1] + "…"


class InvalidArgumentsError(LaunchError):
    """The command line of the launcher itself is wrong."""

    reason = "InvalidArguments"
    exit_code = 64  # EX_USAGE


class ModelMissingError(LaunchError):
    """Nothing is at the model's path."""

    reason = "ModelNotFound"
    exit_code = 66  # EX_NOINPUT


class ModelUnreadableError(LaunchError):
    """The model is there, but this user may not read it, or the storage fails."""

    reason = "ModelUnreadable"
    exit_code = 66  # EX_NOINPUT


class WrongFormatError(LaunchError):
    """What is there is no model that this engine can load."""

    reason = "WrongFormat"
    exit_code = 65  # EX_DATAERR


class ModelIncompleteError(LaunchError):
    """Some of the model's files are missing."""

    reason = "ModelIncomplete"
    exit_code = 65  # EX_DATAERR


class AmbiguousModelError(LaunchError):
    """Several models are there, and none was named."""

    reason = "AmbiguousModel"
    exit_code = 78  # EX_CONFIG


class QuantizationMissingError(LaunchError):
    """The quantization that was named is not among the model's files."""

    reason = "QuantizationNotFound"
    exit_code = 78  # EX_CONFIG


class EngineNotInstalledError(LaunchError):
    """The engine's program is not in this image."""

    reason = "EngineNotInstalled"
    exit_code = 69  # EX_UNAVAILABLE
