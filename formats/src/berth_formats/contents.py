"""What a folder's files are to the engines, by their names alone: pure.

The inventory, the hub and the launcher all ask here, so that none of them takes for a model what another refuses.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from berth_formats.names import SAFETENSORS_SUFFIX, WeightSet, gguf_sets, is_gguf, is_in_reach, is_projector

Format = Literal["gguf", "safetensors"]


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What the engines find in a folder. All is empty if they find no model, but pickles for instance."""

    gguf: tuple[WeightSet, ...]
    """GGUF models, which llama.cpp loads, by name: the quantizations of one model, as a rule."""
    projectors: tuple[str, ...]
    """Multimodal projectors, which are no models."""
    safetensors: tuple[str, ...]
    """The weights of a checkpoint, which vLLM and Transformers load: they look at the folder's top alone."""

    @property
    def formats(self) -> frozenset[Format]:
        """The formats in which there are weights."""
        found: dict[Format, bool] = {"gguf": bool(self.gguf), "safetensors": bool(self.safetensors)}
        return frozenset(name for name, there in found.items() if there)


def contents_of(files: Iterable[tuple[str, int]]) -> FolderContents:
    """What the files of a folder are: paths below it, and sizes in bytes."""
    files = sorted(files)
    return FolderContents(
        gguf=tuple(gguf_sets(files)),
        projectors=tuple(name for name, _ in files if is_gguf(name) and is_in_reach(name) and is_projector(name)),
        safetensors=tuple(name for name, _ in files if is_checkpoint_weights(name)),
    )


def is_checkpoint_weights(name: str) -> bool:
    """Whether vLLM and Transformers load weights of this name: at the top, not hidden, its suffix in small letters."""
    path = PurePosixPath(name)
    return len(path.parts) == 1 and not name.startswith(".") and name.endswith(SAFETENSORS_SUFFIX)
