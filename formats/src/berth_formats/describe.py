"""A model as its files describe it, whichever format they have."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from berth_formats.checkpoint import describe_checkpoint
from berth_formats.errors import FormatError
from berth_formats.gguf_model import describe_gguf
from berth_formats.model import ModelDescription
from berth_formats.model_card import CARD, licence_of
from berth_formats.names import GGUF_SUFFIX, SAFETENSORS_SUFFIX, is_gguf, is_shard

MAX_FILES = 10_000
_MAX_NAMES_SHOWN = 5

Files = Sequence[tuple[str, int]]
"""Files of a model: paths below its directory, and sizes in bytes."""


def describe(path: Path, quantization: str | None = None) -> ModelDescription:
    """The model at `path`: a directory, or a .gguf file. Of a model in shards, any shard will do.

    `quantization`, in any case, chooses one of several. Reads headers only, in bounded time and memory. Raises
    FormatError if no engine could load the model.
    """
    try:
        if path.is_dir():
            return describe_files(path, list(_files(path)), quantization)
        beside = [path]
        if is_shard(path.name):
            beside = [entry for entry in path.parent.iterdir() if is_gguf(entry.name)]
        files = [(entry.name, entry.stat().st_size) for entry in beside]
    except OSError as error:
        raise FormatError(f"{error.filename or path.name} cannot be read: {error.strerror}") from error
    return describe_gguf(path.parent, files, quantization, file=path.name)


def describe_files(directory: Path, files: Files, quantization: str | None = None) -> ModelDescription:
    """The model in a directory whose files are known already; otherwise like `describe`."""
    formats: list[tuple[str, Callable[[], ModelDescription]]] = [
        (GGUF_SUFFIX, lambda: describe_gguf(directory, files, quantization)),
        (SAFETENSORS_SUFFIX, lambda: describe_checkpoint(directory, files)),
    ]
    failures: list[FormatError] = []
    for suffix, describe_format in formats:
        if any(name.lower().endswith(suffix) for name, _ in files):
            try:
                described = describe_format()
            except FormatError as error:
                failures.append(error)
            else:
                return described if described.licence else replace(described, licence=licence_of(directory / CARD))
    if failures:
        raise failures[0]
    raise FormatError(_without_weights([name for name, _ in files]))


def _without_weights(names: Sequence[str]) -> str:
    if not names:
        return "it holds no files"
    shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
    more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
    return f"it holds neither GGUF nor safetensors weights but {shown}{more}"


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    """The files in the directory and in the folders right below it, without hidden ones."""
    count = 0
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith("."):
            continue
        inner = sorted(entry.iterdir()) if entry.is_dir() else [entry]
        for file in inner:
            if file.is_file() and not file.name.startswith("."):
                count += 1
                if count > MAX_FILES:
                    return
                yield str(file.relative_to(directory)), file.stat().st_size
