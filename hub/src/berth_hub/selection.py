"""Which of a repository's files make the model that was asked for. Pure.

Without patterns these are the files that an engine loads: weights as safetensors or GGUF, configuration, tokenizer,
chat template; and the model's card, which states its licence. Pickles (`.bin`, `.pt`, ...) run code when they are
loaded and are taken only where the administrator allows them, and by default only where there are no other weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from berth_formats.model_card import CARD
from berth_formats.names import SAFETENSORS_SUFFIX, WeightSet, gguf_sets, is_gguf, is_hidden, is_pickle, is_weights
from berth_hub.errors import PicklesOnlyError, QuantizationNotFoundError, QuantizationRequiredError, SelectionError
from berth_hub.repository import RepositoryFile
from berth_process.sizes import readable

_DEFAULT_SUFFIXES = (SAFETENSORS_SUFFIX, ".json", ".jinja", ".tiktoken")
_TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.model.v3",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "merges.txt",
)
_PICKLED_MODELS = ("pytorch_model*.bin", "model*.bin", "*.pt", "*.pth", "*.ckpt")
"""The usual names of weights among the pickles. Other `.bin` files hold training state, for instance."""
_LISTED = 40
"""The most quantizations that one message names."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a repository to take."""

    quantization: str | None = None
    """Such as `Q4_K_M`, in any case: all GGUF files of this one, and all files that are no weights."""

    include: Sequence[str] = ()
    """Patterns of paths, in place of the default set.

    `*` matches `/` too, and a pattern that ends with `/` means all below it.
    """

    exclude: Sequence[str] = ()
    """Patterns of paths that are left out in any case."""

    allow_pickle: bool = False
    """Whether pickles may be taken: the administrator decides."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """One quantization that a repository has."""

    name: str
    """In capitals."""

    size: int
    """The bytes of all its files."""

    files: tuple[str, ...]


def quantizations(files: Iterable[RepositoryFile]) -> list[Quantization]:
    """The quantizations among the GGUF files, smallest first. Left out: projectors, and names that state none."""
    found: dict[str, list[WeightSet]] = {}
    for weights in gguf_sets((file.path, file.size) for file in files):
        if weights.quantization:
            found.setdefault(weights.quantization, []).append(weights)
    named = (
        Quantization(name, sum(each.size for each in sets), tuple(file for each in sets for file in each.files))
        for name, sets in found.items()
    )
    return sorted(named, key=lambda each: (each.size, each.name))


def select(files: Iterable[RepositoryFile], selection: Selection) -> list[RepositoryFile]:
    """The files to take, by path. Raises a SelectionError, which says what there is instead."""
    all_files = sorted(files, key=lambda file: file.path)
    wanted = [file for file in all_files if not is_hidden(file.path) and not _matches(file.path, selection.exclude)]
    wanted = [file for file in wanted if _is_wanted(file.path, wanted, selection)]
    refused_pickles = [file for file in wanted if is_pickle(file.path) and not selection.allow_pickle]
    wanted = [file for file in wanted if file not in refused_pickles]
    wanted = _of_one_quantization(wanted, all_files, selection.quantization)
    if not any(is_weights(file.path) for file in wanted) and not (selection.include and wanted):
        raise _nothing(all_files, refused_pickles, selection)
    _check_shards(wanted)
    return wanted


def _is_wanted(path: str, candidates: Sequence[RepositoryFile], selection: Selection) -> bool:
    """Whether the include patterns match it; without patterns, whether it is in the default set."""
    if selection.include:
        return _matches(path, selection.include)
    if path == CARD:
        return True
    name = PurePosixPath(path).name.lower()
    if name.endswith(_DEFAULT_SUFFIXES) or name in _TOKENIZER_FILES or is_gguf(path):
        return True
    others = any(is_weights(file.path) and not is_pickle(file.path) for file in candidates)
    return not others and not selection.quantization and any(fnmatchcase(name, pattern) for pattern in _PICKLED_MODELS)


def _of_one_quantization(
    wanted: list[RepositoryFile], all_files: list[RepositoryFile], name: str | None
) -> list[RepositoryFile]:
    """Of the weights, the named quantization only. Raises QuantizationRequiredError if it must be named and is not."""
    found = quantizations(wanted)
    if name is None:
        if len(found) > 1:
            raise QuantizationRequiredError(f"the repository has several quantizations: name one of {_listed(found)}")
        return wanted
    chosen = next((each for each in found if each.name == name.upper()), None)
    if chosen is None:
        there = quantizations(all_files)
        what = f"it has {_listed(there)}" if there else "it has no GGUF files that state one: leave quantization out"
        hidden = " (include or exclude leave it out)" if any(each.name == name.upper() for each in there) else ""
        raise QuantizationNotFoundError(f"the repository has no quantization {name}{hidden}: {what}")
    return [file for file in wanted if file.path in chosen.files or not is_weights(file.path)]


def _check_shards(wanted: list[RepositoryFile]) -> None:
    for weights in gguf_sets((file.path, file.size) for file in wanted):
        if missing := weights.missing:
            lacking = ", ".join(missing[:3])
            raise SelectionError(
                f"{weights.name} is incomplete without {lacking}: let include and exclude leave sets of shards whole"
            )


def _nothing(all_files: list[RepositoryFile], pickles: list[RepositoryFile], selection: Selection) -> SelectionError:
    if pickles:
        return PicklesOnlyError(
            f"the weights are pickles only ({pickles[0].path}, ...), which run code when they are loaded: "
            "choose a repository with safetensors or GGUF, or have the administrator allow pickles"
        )
    if selection.include or selection.exclude:
        return SelectionError(
            "no file of the repository fits include and exclude: write patterns such as *.gguf or original/*"
        )
    suffixes = sorted({PurePosixPath(file.path).suffix for file in all_files} - {""})
    there = f"its files end with {', '.join(suffixes[:10])}" if suffixes else "it has no files"
    return SelectionError(f"the repository has no weights that an engine loads (safetensors or GGUF): {there}")


def _listed(found: Sequence[Quantization]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(f"{each.name} ({readable(each.size)})" for each in found[:_LISTED]) + more


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)
