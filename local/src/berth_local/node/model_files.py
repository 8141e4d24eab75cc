"""What is wrong with the files of a model that a container's program could not load."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from berth_formats.describe import describe
from berth_formats.errors import FormatError


def model_of(arguments: Sequence[str]) -> str:
    """The path of the model in the arguments of `berth-launch`. Empty: they name none."""
    return _value(arguments, "--model") or ""


def fault_of(arguments: Sequence[str]) -> str | None:
    """Why no engine can load the model of these arguments of `berth-launch`. None: nothing is known against it."""
    model = model_of(arguments)
    if not model:
        return None
    try:
        describe(Path(model), _value(arguments, "--quantization"))
    except FormatError as error:
        return str(error)
    return None


def _value(arguments: Sequence[str], option: str) -> str | None:
    return next((value for name, value in pairwise(arguments) if name == option), None)
