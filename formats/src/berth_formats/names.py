"""What the names of a model's files say: shards, quantizations, projectors. Pure: no file is opened.

A name is a path below the model's directory. A directory may hold one model in several quantizations, each in one file
or in shards (`name-00001-of-00003.gguf`), directly or in a directory per quantization, and beside them a multimodal
projector (`mmproj-*.gguf`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

GGUF_SUFFIX = ".gguf"
SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})", re.IGNORECASE)
# Q4_K_M, IQ2_XXS, Q8_0, TQ1_0, BF16, MXFP4_MOE, UD-Q4_K_XL: whole, so that Q4_K is never taken for Q4_K_M.
_QUANTIZATION = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:(?:IQ|TQ|Q)\d(?:_[A-Z0-9]+)*|BF16|FP?16|FP?32|MXFP4(?:_[A-Z0-9]+)*|NVFP4))(?![A-Z0-9_])",
    re.IGNORECASE,
)
_PROJECTOR = re.compile(r"(?<![a-z0-9])mmproj(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights that belong together: one file, or all shards that are there, in order. Sizes are in bytes."""

    name: str
    """The files' common name, without number and suffix."""
    suffix: str
    quantization: str | None
    """As the name states it, in capitals. None: the name states none."""
    files: tuple[str, ...]
    shards_expected: int
    size: int

    @property
    def missing(self) -> Sequence[str]:
        """Names of the shards that are not there."""
        if len(self.files) == self.shards_expected:
            return ()
        present = {PurePosixPath(file).name.lower() for file in self.files}
        base = PurePosixPath(self.name).name
        wanted = (
            f"{base}-{index:05d}-of-{self.shards_expected:05d}{self.suffix}"
            for index in range(1, self.shards_expected + 1)
        )
        return [name for name in wanted if name.lower() not in present]


def is_gguf(name: str) -> bool:
    """Whether the name is that of a GGUF file that is not hidden."""
    return name.lower().endswith(GGUF_SUFFIX) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether the file or a folder above it is hidden: a download's leftovers are, and no engine looks at them."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def is_in_reach(name: str) -> bool:
    """Whether llama.cpp's models are looked for there: in the model's directory and in those right below it."""
    return len(PurePosixPath(name).parts) <= 2


def is_pickle(name: str) -> bool:
    """Whether a file of this name is, or may be, a pickle, which runs code when it is loaded."""
    return name.lower().endswith(PICKLE_SUFFIXES)


def is_weights(name: str) -> bool:
    """Whether a file of this name holds weights."""
    return is_gguf(name) or is_pickle(name) or name.lower().endswith(SAFETENSORS_SUFFIX)


def is_projector(name: str) -> bool:
    """Whether the name is that of a multimodal projector, which is no model."""
    return _PROJECTOR.search(PurePosixPath(name).stem) is not None


def is_shard(name: str) -> bool:
    """Whether the name is that of one of several shards."""
    return _SHARD.fullmatch(PurePosixPath(name).stem) is not None


def quantization_of(name: str) -> str | None:
    """The last quantization that the name states, in capitals: Q4_K_M in `Qwen3-8B-Q4_K_M` and in `Q4_K_M/model`."""
    found = _QUANTIZATION.findall(name)
    return found[-1].upper() if found else None


def gguf_sets(files: Iterable[tuple[str, int]]) -> list[WeightSet]:
    """The GGUF models among the files (name, size in bytes), by name: what llama.cpp could load, so no projectors."""
    return weight_sets(
        file for file in files if is_gguf(file[0]) and is_in_reach(file[0]) and not is_projector(file[0])
    )


def weight_sets(files: Iterable[tuple[str, int]]) -> list[WeightSet]:
    """One set for each single file and for each set of shards, by name."""
    sets: dict[tuple[str, int, str], list[tuple[str, int]]] = {}
    for name, size in files:
        path = PurePosixPath(name)
        shard = _SHARD.fullmatch(path.stem)
        stem, count = (shard["stem"], int(shard["count"])) if shard else (path.stem, 1)
        sets.setdefault((str(path.with_name(stem)), count, path.suffix), []).append((name, size))
    return [
        WeightSet(
            name=base,
            suffix=suffix,
            quantization=quantization_of(base),
            files=tuple(sorted(name for name, _ in members)),
            shards_expected=count,
            size=sum(size for _, size in members),
        )
        for (base, count, suffix), members in sorted(sets.items())
    ]
