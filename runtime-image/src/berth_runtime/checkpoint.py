"""Finds a model in Hugging Face's format, or says why there is none.

Such a model is a directory with a `config.json` and weights in safetensors: one file, or shards that an index
(`model.safetensors.index.json`) lists. The weights are not read.
"""

import json
import stat
from pathlib import Path
from typing import Any, NamedTuple

from berth_formats.checkpoint import CONFIG, INDEX_SUFFIX
from berth_formats.contents import is_checkpoint_weights
from berth_formats.names import is_gguf
from berth_runtime.errors import ModelIncompleteError, ModelMissingError, WrongFormatError
from berth_runtime.model_path import describe_absence, listing, reading, visible_names


class Checkpoint(NamedTuple):
    """A model's directory and what its `config.json` says."""

    directory: Path
    config: dict[str, Any]


def find_checkpoint(path: Path, backend: str) -> Checkpoint:
    """The model at `path`, for the engine `backend`.

    Raises a `LaunchError`: ModelNotFound, ModelUnreadable, WrongFormat or ModelIncomplete.
    """
    with reading(path):
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelMissingError(describe_absence(path)) from error
        if not is_directory:
            raise WrongFormatError(_describe_file(path, backend))
        names = visible_names(path)
        weights = [name for name in names if is_checkpoint_weights(name)]
        if not weights:
            raise WrongFormatError(_describe_directory(path, names, backend))
        if CONFIG not in names:
            raise ModelIncompleteError(f"{path} has no {CONFIG}, which backend {backend} needs, but {listing(names)}")
        for index in (name for name in names if name.endswith(INDEX_SUFFIX)):
            _check_shards(path, index)
        for name in weights:
            if not (path / name).stat().st_size:
                raise ModelIncompleteError(f"{path / name} is empty: the download did not finish")
        return Checkpoint(path, _read_object(path / CONFIG))


def _check_shards(directory: Path, index: str) -> None:
    """Raises ModelIncompleteError unless every file is there that the index lists."""
    weight_map = _read_object(directory / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WrongFormatError(f"{directory / index} has no weight_map: it is not an index of shards")
    shards = sorted({str(shard) for shard in weight_map.values()})  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    missing = [shard for shard in shards if not (directory / shard).is_file()]
    if missing:
        raise ModelIncompleteError(f"{directory} lacks {len(missing)} of {len(shards)} shards: {listing(missing)}")


def _read_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise WrongFormatError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WrongFormatError(f"{file} should hold a JSON object")
    return content  # pyright: ignore[reportUnknownVariableType]


def _describe_file(file: Path, backend: str) -> str:
    message = f"{file} is a file; backend {backend} needs a directory with {CONFIG} and safetensors weights"
    return f"{message}; GGUF files run with backend llamacpp" if is_gguf(file.name) else message


def _describe_directory(directory: Path, names: list[str], backend: str) -> str:
    """Why a directory has no model for this backend, and which backend could load what it has."""
    if not names:
        return f"{directory} is empty; backend {backend} needs {CONFIG} and safetensors weights"
    message = f"{directory} holds no safetensors weights, which backend {backend} needs, but {listing(names)}"
    gguf = any(is_gguf(file.name) for file in directory.rglob("*"))
    return f"{message}; GGUF files run with backend llamacpp" if gguf else message
