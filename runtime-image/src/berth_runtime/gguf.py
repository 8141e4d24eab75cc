"""Finds the GGUF file that a model's path means, or says why there is none or more than one.

A path is a GGUF file or a directory. A directory may hold one model in several quantizations, each in one file or in
shards (`name-00001-of-00003.gguf`), directly or in a directory per quantization, and beside them a multimodal projector
(`mmproj-*.gguf`). Only names, sizes and the first bytes of the chosen files are read.
"""

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from berth_formats.beginnings import BEGINNING_BYTES, why_not_gguf
from berth_formats.contents import contents_of, is_checkpoint_weights
from berth_formats.names import WeightSet, gguf_sets, is_gguf, is_projector, is_shard, weight_sets
from berth_runtime.errors import (
    AmbiguousModelError,
    ModelIncompleteError,
    ModelMissingError,
    QuantizationMissingError,
    WrongFormatError,
)
from berth_runtime.model_path import describe_absence, listing, readable_size, reading, visible_names


class GgufFiles(NamedTuple):
    """What to give the engine: the model's (first) file, and its multimodal projector if it has one."""

    model: Path
    projector: Path | None


def find_gguf(path: Path, quantization: str | None = None) -> GgufFiles:
    """The files of the model at `path`; with `quantization`, of exactly that one (any case).

    A projector is taken from a directory only: beside a file that was named, it may belong to another model.

    Raises a `LaunchError`: ModelNotFound, ModelUnreadable, WrongFormat, ModelIncomplete, AmbiguousModel or
    QuantizationNotFound.
    """
    with reading(path):
        return _find_gguf(path, quantization)


def _find_gguf(path: Path, quantization: str | None) -> GgufFiles:
    try:
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelMissingError(describe_absence(path)) from error
    root = path if is_directory else path.parent
    if is_directory:
        contents = contents_of(_sized(root, _gguf_names(path)))
        projectors, candidates = contents.projectors, contents.gguf
        if not candidates:
            raise WrongFormatError(_describe_directory(path, projectors))
    else:
        projectors = ()
        candidates = _candidates_of_file(path)
    chosen = _choose(path, candidates, quantization)
    _check_complete(root, chosen)
    for name in chosen.files:
        _check_magic(root / name)
    return GgufFiles(root / chosen.files[0], root / projectors[0] if projectors else None)


def _gguf_names(directory: Path) -> Iterator[str]:
    """The GGUF files in the directory and in the folders right below it, without hidden ones."""
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith("."):
            continue
        for file in sorted(entry.iterdir()) if entry.is_dir() else [entry]:
            if is_gguf(file.name) and not file.is_dir():
                yield str(file.relative_to(directory))


def _sized(root: Path, names: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, (root / name).stat().st_size) for name in names]


def _candidates_of_file(file: Path) -> list[WeightSet]:
    """The model of a file: the file itself, or all shards if it is one of several."""
    if is_projector(file.name):
        raise WrongFormatError(f"{file} is a multimodal projector, not a model: name the model's file or its directory")
    if not is_shard(file.name):
        return weight_sets(_sized(file.parent, [file.name]))
    siblings = [entry.name for entry in sorted(file.parent.iterdir()) if is_gguf(entry.name) and not entry.is_dir()]
    return [candidate for candidate in gguf_sets(_sized(file.parent, siblings)) if file.name in candidate.files]


def _choose(path: Path, candidates: Sequence[WeightSet], quantization: str | None) -> WeightSet:
    matching = candidates
    if quantization:
        matching = [candidate for candidate in candidates if candidate.quantization == quantization.upper()]
        if not matching:
            raise QuantizationMissingError(f"{path} has no {quantization} but {listing(map(_shown, candidates))}")
    if len(matching) == 1:
        return matching[0]
    if len({candidate.quantization for candidate in matching}) == len(matching):
        raise AmbiguousModelError(
            f"{path} holds several quantizations: {listing(map(_shown, matching))}; name one as the quantization"
        )
    names = (f"{candidate.name} ({readable_size(candidate.size)})" for candidate in matching)
    raise AmbiguousModelError(f"{path} holds several models: {listing(names)}; name the file to load")


def _shown(candidate: WeightSet) -> str:
    return f"{candidate.quantization or candidate.name} ({readable_size(candidate.size)})"


def _check_complete(root: Path, candidate: WeightSet) -> None:
    missing = candidate.missing
    if missing:
        directory = (root / candidate.files[0]).parent
        raise ModelIncompleteError(
            f"{directory} lacks {len(missing)} of {candidate.shards_expected} shards: {listing(missing)}"
        )


def _check_magic(file: Path) -> None:
    with file.open("rb") as stream:
        wrong = why_not_gguf(stream.read(BEGINNING_BYTES))
    if wrong:
        raise WrongFormatError(f"{file} {wrong}")


def _describe_directory(directory: Path, projectors: Sequence[str]) -> str:
    """Why a directory has no model for llama.cpp, and which backend could load what it has."""
    if projectors:
        return (
            f"{directory} holds only a multimodal projector ({Path(projectors[0]).name}), not the model it belongs to"
        )
    names = visible_names(directory)
    if not names:
        return f"{directory} is empty; backend llamacpp needs a GGUF file"
    message = f"{directory} holds no GGUF file, which backend llamacpp needs, but {listing(names)}"
    if any(map(is_checkpoint_weights, names)):
        message += "; safetensors weights run with backend vllm or transformers"
    return message
