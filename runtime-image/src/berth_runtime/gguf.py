"""Finds the GGUF file that a model path means, and says clearly why there is none or more than one.

A path is a GGUF file or a directory. A directory may hold one model in several quantizations, each in one file or in
shards (`name-00001-of-00003.gguf`), directly or in a directory per quantization, and beside them a multimodal projector
(`mmproj-*.gguf`). Nothing is read but names, sizes and the first bytes of the files chosen.
"""

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from berth_runtime.errors import (
    AmbiguousModelError,
    ModelIncompleteError,
    ModelNotFoundError,
    QuantizationNotFoundError,
    WrongFormatError,
)
from berth_runtime.model_path import describe_absence, listing, readable_size, reading, visible_names

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})", re.IGNORECASE)
# Q4_K_M, IQ2_XXS, Q8_0, TQ1_0, BF16, MXFP4_MOE, UD-Q4_K_XL: whole, so that Q4_K is never taken for Q4_K_M.
_QUANTIZATION = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:(?:IQ|TQ|Q)\d(?:_[A-Z0-9]+)*|BF16|FP?16|FP?32|MXFP4(?:_[A-Z0-9]+)*|NVFP4))(?![A-Z0-9_])",
    re.IGNORECASE,
)
_PROJECTOR = re.compile(r"(?<![a-z0-9])mmproj(?![a-z0-9])", re.IGNORECASE)

# What a file that should be GGUF begins with when it is something else, and what that means.
_OTHER_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file it points to: fetch the file itself"),
    (b"<", "is an HTML or XML page, not a model: the download got an error page"),
    (b"{", "is a JSON document, not a model: the download got an error or an index"),
    (b"PK\x03\x04", "is a ZIP archive (PyTorch weights, perhaps), not GGUF"),
    (b"tjgg", "is in GGML's format of before GGUF: convert the model again"),
    (b"lmgg", "is in GGML's format of before GGUF: convert the model again"),
    (b"\x00\x00\x00\x00", "begins with zeros: the download did not finish"),
)


class GgufFiles(NamedTuple):
    """What to give the engine: the model's (first) file, and its multimodal projector if it has one."""

    model: Path
    projector: Path | None


class _Candidate(NamedTuple):
    """One model in one quantization: a single file, or all shards that are there, in order."""

    name: str
    quantization: str | None
    files: tuple[Path, ...]
    shards_expected: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.quantization or self.name} ({readable_size(self.size_bytes)})"


def find_gguf(path: Path, quantization: str | None = None) -> GgufFiles:
    """The files of the model at `path`; with `quantization`, of exactly that one (any case).

    A projector is taken only from a directory: beside a file that was named it may belong to another model.

    Raises a `LaunchError`: ModelNotFound, ModelUnreadable, WrongFormat, ModelIncomplete, AmbiguousModel or
    QuantizationNotFound.
    """
    with reading(path):
        return _find_gguf(path, quantization)


def _find_gguf(path: Path, quantization: str | None) -> GgufFiles:
    try:
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(describe_absence(path)) from error
    if is_directory:
        names = list(_gguf_files(path))
        projectors = sorted(file for file in names if _PROJECTOR.search(file.stem))
        candidates = _group(path, (file for file in names if file not in projectors))
        if not candidates:
            raise WrongFormatError(_describe_directory(path, projectors))
    else:
        projectors = []
        candidates = _candidates_of_file(path)
    chosen = _choose(path, candidates, quantization)
    _check_complete(chosen)
    for file in chosen.files:
        _check_magic(file)
    return GgufFiles(chosen.files[0], projectors[0] if projectors else None)


def _gguf_files(directory: Path) -> Iterator[Path]:
    """GGUF files in the directory and in those right below it; hidden ones hold a download's leftovers."""
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from (file for file in sorted(entry.iterdir()) if _is_gguf_name(file))
        elif _is_gguf_name(entry):
            yield entry


def _is_gguf_name(file: Path) -> bool:
    return file.suffix.lower() == ".gguf" and not file.name.startswith(".") and not file.is_dir()


def _candidates_of_file(file: Path) -> list[_Candidate]:
    """The model that a file belongs to: itself, or the shards it is one of."""
    if _PROJECTOR.search(file.stem):
        raise WrongFormatError(f"{file} is a multimodal projector, not a model: name the model's file or its directory")
    shard = _SHARD.fullmatch(file.stem)
    if not shard:
        return _group(file.parent, [file])
    siblings = (sibling for sibling in sorted(file.parent.iterdir()) if _is_gguf_name(sibling))
    return [candidate for candidate in _group(file.parent, siblings) if file in candidate.files]


def _group(root: Path, files: Iterable[Path]) -> list[_Candidate]:
    """One candidate for each single file and for each set of shards, by name."""
    sets: dict[tuple[Path, int], list[Path]] = {}
    for file in files:
        shard = _SHARD.fullmatch(file.stem)
        stem, count = (shard["stem"], int(shard["count"])) if shard else (file.stem, 1)
        sets.setdefault((file.with_name(stem), count), []).append(file)
    return [
        _Candidate(
            name=str(base.relative_to(root)),
            quantization=_quantization_of(str(base.relative_to(root))),
            files=tuple(sorted(members)),
            shards_expected=count,
            size_bytes=sum(file.stat().st_size for file in members),
        )
        for (base, count), members in sorted(sets.items())
    ]


def _quantization_of(name: str) -> str | None:
    """The last quantization named in `Qwen3-8B-Q4_K_M` or, for one in a directory of its own, in `Q4_K_M/model`."""
    found = _QUANTIZATION.findall(name)
    return found[-1].upper() if found else None


def _choose(path: Path, candidates: list[_Candidate], quantization: str | None) -> _Candidate:
    matching = candidates
    if quantization:
        matching = [candidate for candidate in candidates if candidate.quantization == quantization.upper()]
        if not matching:
            raise QuantizationNotFoundError(f"{path} has no {quantization} but {listing(map(str, candidates))}")
    if len(matching) == 1:
        return matching[0]
    if len({candidate.quantization for candidate in matching}) == len(matching):
        raise AmbiguousModelError(f"{path} holds several quantizations: {listing(map(str, matching))}; name one as the quantization")
    names = (f"{candidate.name} ({readable_size(candidate.size_bytes)})" for candidate in matching)
    raise AmbiguousModelError(f"{path} holds several models: {listing(names)}; name the file to load")


def _check_complete(candidate: _Candidate) -> None:
    first = candidate.files[0]
    expected = candidate.shards_expected
    if len(candidate.files) == expected:
        return
    base = Path(candidate.name).name
    present = {file.name.lower() for file in candidate.files}
    wanted = (f"{base}-{index:05d}-of-{expected:05d}.gguf" for index in range(1, expected + 1))
    missing = [name for name in wanted if name.lower() not in present]
    raise ModelIncompleteError(f"{first.parent} lacks {len(missing)} of {expected} shards: {listing(missing)}")


def _check_magic(file: Path) -> None:
    with file.open("rb") as stream:
        beginning = stream.read(64)
    if beginning.startswith(b"GGUF"):
        return
    if not beginning:
        raise WrongFormatError(f"{file} is empty: the download did not finish")
    for prefix, meaning in _OTHER_BEGINNINGS:
        if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(prefix):
            raise WrongFormatError(f"{file} {meaning}")
    raise WrongFormatError(f"{file} is not GGUF: it begins with {beginning[:4].hex(' ')} instead of 47 47 55 46 (GGUF)")


def _describe_directory(directory: Path, projectors: list[Path]) -> str:
    """Why a directory has no model for llama.cpp, and which backend would take what it has."""
    if projectors:
        return f"{directory} holds only a multimodal projector ({projectors[0].name}), not the model it belongs to"
    names = visible_names(directory)
    if not names:
        return f"{directory} is empty; backend llamacpp needs a GGUF file"
    message = f"{directory} holds no GGUF file, which backend llamacpp needs, but {listing(names)}"
    if any(name.endswith(".safetensors") for name in names):
        message += "; safetensors weights run with backend vllm or transformers"
    return message
