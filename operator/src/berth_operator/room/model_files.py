"""What the files of models in the store say, read from their headers once and kept until the files change."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from berth_api.model_deployment import MODEL_STORE
from berth_formats.describe import describe
from berth_formats.errors import FormatError
from berth_formats.model import ModelDescription
from berth_formats.names import gguf_sets

_log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 5.0
"""How long the store may take. A network volume that hangs must not hold up what needs no estimate."""

_GIVEN_UP_SECONDS = 60.0
"""How long a store that took longer is left alone."""

_FRESH_SECONDS = 5.0
"""How long what was found counts without another look: a model that waits for room is asked about each second."""

_MOST_QUANTIZATIONS = 16

_Found = TypeVar("_Found")

_Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class _KnownModel:
    fingerprint: _Fingerprint
    model: ModelDescription
    looked_at: float


class ModelFiles:
    """The models of a store. `root`: where it is mounted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[tuple[str, str | None], _KnownModel] = {}
        self._given_up_until = 0.0

    async def described(self, model: str, quantization: str | None) -> ModelDescription | None:
        """The model at this path of the store. None: its files say too little, or are no model; its engine says why."""
        known = self._known.get((model, quantization))
        now = asyncio.get_running_loop().time()
        if known and now - known.looked_at < _FRESH_SECONDS:
            return known.model
        return await self._read(model, lambda: self._look(model, quantization, now))

    async def quantizations(self, model: str) -> list[ModelDescription]:
        """The GGUF models in a directory of the store that hold one in several quantizations, the largest first."""
        return await self._read(model, lambda: self._look_for_all(model)) or []

    async def fault(self, model: str, quantization: str | None) -> str | None:
        """Why no engine could load the model. None: nothing is known against it, or its files cannot be read now."""
        return await self._read(model, lambda: self._look_for_fault(model, quantization))

    async def _read(self, model: str, look: Callable[[], _Found]) -> _Found | None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._given_up_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.to_thread(look)
        except TimeoutError:
            self._given_up_until = loop.time() + _GIVEN_UP_SECONDS
            _log.warning("model_store_slow", model=model, seconds=_PATIENCE_SECONDS)
        except (FormatError, OSError) as error:
            _log.info("memory_not_estimated", model=model, error=str(error))
        return None

    def _look(self, name: str, quantization: str | None, now: float) -> ModelDescription:
        """The description, anew where the files have changed: to read a vocabulary takes tens of milliseconds."""
        path = self._path(name)
        found = _fingerprint(path)
        known = self._known.get((name, quantization))
        model = known.model if known and known.fingerprint == found else describe(path, quantization)
        self._known[name, quantization] = _KnownModel(found, model, now)
        return model

    def _look_for_all(self, name: str) -> list[ModelDescription]:
        path = self._path(name)
        if not path.is_dir():
            return []
        files = [(str(file.relative_to(path)), file.stat().st_size) for file in path.rglob("*") if file.is_file()]
        names = sorted({each.quantization for each in gguf_sets(files) if each.quantization})
        found: list[ModelDescription] = []
        for quantization in names[:_MOST_QUANTIZATIONS]:
            try:
                found.append(describe(path, quantization))
            except FormatError:
                continue
        return sorted(found, key=lambda model: -model.file_bytes)

    def _look_for_fault(self, name: str, quantization: str | None) -> str | None:
        try:
            describe(self._path(name), quantization)
        except FormatError as error:
            # What this process may not read, an engine may.
            return None if isinstance(error.__cause__, OSError) else str(error)
        return None

    def _path(self, model: str) -> Path:
        return self._root / Path(model).relative_to(MODEL_STORE)


def _fingerprint(path: Path) -> _Fingerprint:
    """The name, size and time of each file of the model. It changes when they change."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()])
