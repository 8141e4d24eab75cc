"""The model store as the router sees it: mounted read-only, asked about one path at a time."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from berth_api.model_deployment import MODEL_PATH_PATTERN, MODEL_STORE
from berth_router.resolve import Inventory

_VALID_PATH = re.compile(MODEL_PATH_PATTERN)
_NOT_A_MODEL = "lost+found"
"""What mkfs leaves at the top of a volume."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store: its path as the API names it, and when it was last changed (seconds since 1970)."""

    path: str
    modified: int


class ModelStore:
    """Reads the store's directory in a thread, since a network file system can take its time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def lookup(self, model: str) -> Inventory:
        """Whether the store has the model; if not, what else it has. `model` is a valid path below MODEL_STORE."""
        return await asyncio.to_thread(self._lookup, model)

    async def models(self) -> list[StoredModel]:
        """The directories and .gguf files at the top of the store, by name. Empty where there is no store."""
        return await asyncio.to_thread(self._models)

    def _lookup(self, model: str) -> Inventory:
        try:
            (self._root / model.removeprefix(f"{MODEL_STORE}/")).stat()
        except OSError:  # a name too long for the file system or a closed directory is as good as none
            return Inventory(exists=False, models=[stored.path for stored in self._models()])
        return Inventory(exists=True)

    def _models(self) -> list[StoredModel]:
        try:
            entries = sorted(self._root.iterdir(), key=lambda entry: entry.name)
            return [StoredModel(f"{MODEL_STORE}/{entry.name}", int(entry.stat().st_mtime)) for entry in entries if _is_model(entry)]
        except OSError:
            return []


def _is_model(entry: Path) -> bool:
    if entry.name == _NOT_A_MODEL or not _VALID_PATH.match(f"{MODEL_STORE}/{entry.name}"):
        return False
    return entry.is_dir() or (entry.suffix == ".gguf" and entry.is_file())
