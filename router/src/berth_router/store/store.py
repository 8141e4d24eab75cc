"""The model store as the router sees it, mounted read-only: what models there are, and of what files.

A store may hold a thousand models and lie on a network file system. So it is read in a thread, one reading at a time,
and what was read is kept: a model is read again when one of its directories has changed, or what is known of it has
become old.

What cannot be read is not absent: a store that fails is told as such, and a model that cannot be read is among the
others, with the reason.
"""

import asyncio
import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog

from berth_api.model_deployment import MODEL_PATH_PATTERN, MODEL_STORE
from berth_formats.names import formats_of
from berth_router.errors import UnavailableError
from berth_router.lifecycle.resolve import GGUF, SAFETENSORS, Inventory
from berth_router.store.shared_call import SharedCall

_log = structlog.get_logger(__name__)

_VALID_PATH = re.compile(MODEL_PATH_PATTERN)
_NOT_A_MODEL = "lost+found"
"""What mkfs leaves at the top of a volume."""

_MAX_DEPTH = 4
_MAX_FILES = 10_000
"""Directories below a model's own, and files of one model, that are looked at: a store is not searched without end."""

_RACY_NS = 2_000_000_000
"""A directory that had changed so shortly before it was read may have changed again without a new time stamp."""

_ABSENCES = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""No such file, a file in place of a directory, a name that no file can have, and links that lead nowhere."""

_OLD_NS = 300_000_000_000
"""What is known for so long is read again: a file that grows in place changes no directory."""


class FileType(StrEnum):
    """What a file of a model is."""

    GGUF = GGUF
    SAFETENSORS = SAFETENSORS
    PYTORCH = "pytorch"
    TOKENIZER = "tokenizer"
    CONFIG = "config"
    OTHER = "other"


_BY_SUFFIX = {
    ".gguf": FileType.GGUF,
    ".safetensors": FileType.SAFETENSORS,
    ".bin": FileType.PYTORCH,
    ".pt": FileType.PYTORCH,
    ".pth": FileType.PYTORCH,
    ".json": FileType.CONFIG,
    ".jinja": FileType.CONFIG,
}
_TOKENIZER_FILES = frozenset(
    {
        "added_tokens.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a model: its path below the model's own, its size in bytes, its type."""

    name: str
    size: int
    type: FileType


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model in the store:
    its path as the API names it, when it was last changed (seconds since 1970), and its files by name.
    """

    path: str
    modified: int
    files: tuple[StoredFile, ...] = ()
    unreadable: str | None = None
    """Why its files cannot be listed; None where they can."""

    @property
    def name(self) -> str:
        """The path below the store."""
        return self.path.removeprefix(f"{MODEL_STORE}/")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def formats(self) -> frozenset[str]:
        """The formats in which it has weights that an engine finds: GGUF, SAFETENSORS."""
        return formats_of(file.name for file in self.files)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one entry at the top of the store was found to be, and the time stamps that say whether it still is."""

    models: tuple[StoredModel, ...]
    stamps: dict[str, tuple[int, int]]
    read_at: int

    def holds(self, now: int) -> bool:
        if now - self.read_at > _OLD_NS or any(model.unreadable for model in self.models):
            return False
        newest = max(changed for changed, _ in self.stamps.values())
        return self.read_at - newest > _RACY_NS and all(_stamp(path) == stamp for path, stamp in self.stamps.items())


class ModelStore:
    """Reads the store. Where that fails, every method raises an UnavailableError: that is no model's absence."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readings: dict[str, _Reading] = {}
        self._models: tuple[StoredModel, ...] = ()
        self._refreshed = SharedCall(lambda: asyncio.to_thread(self._refresh))
        self.read_models = 0
        """How many entries at the top of the store were read in all."""

    async def lookup(self, model: str) -> Inventory:
        """Whether the store has the model; if not, what else it has. `model` is a valid path below MODEL_STORE."""
        try:
            found = await asyncio.to_thread(self._lookup, model)
        except OSError as error:
            raise store_unavailable(error) from error
        return found or Inventory(exists=False, models=[stored.path for stored in await self.models()])

    async def models(self) -> Sequence[StoredModel]:
        """All models, by path: directories and .gguf files at the top of the store; for a directory that holds only directories, those.

        As they are now, or later: what was put there before the call is among them. The same object as before where
        nothing has changed. Empty where there is no store.
        """
        try:
            return await self._refreshed()
        except OSError as error:
            raise store_unavailable(error) from error

    def _lookup(self, model: str) -> Inventory | None:
        path = self._root / model.removeprefix(f"{MODEL_STORE}/")
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
            names = [file.name for file in _files(path, {})] if is_directory else [path.name]
        except OSError as error:
            if is_absence(error):
                return None
            raise
        return Inventory(exists=True, weights=formats_of(names))

    def _refresh(self) -> tuple[StoredModel, ...]:
        now = time.time_ns()
        readings: dict[str, _Reading] = {}
        for name in _names(self._root):
            known = self._readings.get(name)
            if known is None or not known.holds(now):
                known = self._read(name)
            if known:
                readings[name] = known
        self._readings = readings
        models = sorted(
            (model for reading in readings.values() for model in reading.models), key=lambda model: model.path
        )
        if self._models != tuple(models):
            for model in set(models).difference(self._models):
                if model.unreadable:
                    _log.warning("model_not_read", model=model.path, error=model.unreadable)
            self._models = tuple(models)
        return self._models

    def _read(self, name: str) -> _Reading | None:
        """None where it is no model, or gone by now."""
        self.read_models += 1
        path, read_at = self._root / name, time.time_ns()
        stamps: dict[str, tuple[int, int]] = {}
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                models = tuple(_models_of(path, f"{MODEL_STORE}/{name}", stamps))
            elif path.suffix == ".gguf" and stat.S_ISREG(mode):
                stamps[str(path)] = _stamp(str(path)) or (0, 0)
                models = (
                    _model(f"{MODEL_STORE}/{name}", path, (StoredFile(name, path.stat().st_size, FileType.GGUF),)),
                )
            else:
                return None
        except OSError as error:
            if is_absence(error):
                return None
            models = (_unreadable(f"{MODEL_STORE}/{name}", error),)
        return _Reading(models, stamps, read_at)


def is_absence(error: OSError) -> bool:
    """Whether the error says that there is no such file.

    All others say that it is not known, or that this process may not know.
    """
    return error.errno in _ABSENCES


def store_unavailable(error: OSError) -> UnavailableError:
    """The error for a store that cannot be read."""
    why = error.strerror or type(error).__name__
    _log.warning("store_not_read", path=str(error.filename), error=why)
    return UnavailableError(
        f"The model store cannot be read now: {why}. If that stays so, look at its file system and permissions.",
        code="store_unavailable",
    )


def type_of(name: str) -> FileType:
    """What a file of this name is."""
    base = name.rpartition("/")[2]
    return (
        FileType.TOKENIZER
        if base in _TOKENIZER_FILES
        else _BY_SUFFIX.get(f".{base.rpartition('.')[2]}", FileType.OTHER)
    )


def _names(root: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in root.iterdir() if _is_name(entry.name))
    except OSError as error:
        if is_absence(error):  # there is no store yet
            return []
        raise


def _is_name(name: str) -> bool:
    return name != _NOT_A_MODEL and _VALID_PATH.match(f"{MODEL_STORE}/{name}") is not None


def _models_of(directory: Path, path: str, stamps: dict[str, tuple[int, int]]) -> Iterator[StoredModel]:
    """The directory as a model, or the directories in it where it holds nothing else."""
    stamps[str(directory)] = _stamp(str(directory)) or (0, 0)
    with os.scandir(directory) as entries:
        inner = [entry for entry in entries if _is_name(entry.name)]
    if not inner or not all(map(_is_directory, inner)):
        yield _model(path, directory, tuple(_files(directory, stamps)))
        return
    for entry in inner:
        try:
            yield _model(f"{path}/{entry.name}", Path(entry.path), tuple(_files(Path(entry.path), stamps)))
        except OSError as error:
            if not is_absence(error):
                yield _unreadable(f"{path}/{entry.name}", error)


def _model(path: str, place: Path, files: tuple[StoredFile, ...]) -> StoredModel:
    return StoredModel(path, int(place.stat().st_mtime), files)


def _unreadable(path: str, error: OSError) -> StoredModel:
    return StoredModel(path, 0, unreadable=error.strerror or type(error).__name__)


def _files(directory: Path, stamps: dict[str, tuple[int, int]]) -> list[StoredFile]:
    """The files of a model by name; hidden ones, which downloads in progress are, left out.

    What goes away meanwhile is left out too. Notes the stamp of every directory. Raises OSError where the directory
    itself is not there, or any in it cannot be read.
    """
    files: list[StoredFile] = []
    open_directories = [(str(directory), "", 0)]
    while open_directories and len(files) < _MAX_FILES:
        place, prefix, depth = open_directories.pop()
        stamps[place] = _stamp(place) or (0, 0)
        try:
            with os.scandir(place) as entries:
                found = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if depth > 0 and is_absence(error):
                continue
            raise
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                if depth < _MAX_DEPTH:
                    open_directories.append((entry.path, f"{prefix}{entry.name}/", depth + 1))
            elif (size := _size_of(entry)) is not None:
                name = f"{prefix}{entry.name}"
                files.append(StoredFile(name, size, type_of(name)))
    return sorted(files[:_MAX_FILES], key=lambda file: file.name)


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    """Whether it is one, or a link to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if is_absence(error):
            return False
        raise


def _size_of(entry: "os.DirEntry[str]") -> int | None:
    """The size of a file in bytes; None for what is none, or gone by now."""
    try:
        found = entry.stat()
    except OSError as error:
        if is_absence(error):
            return None
        raise
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _stamp(path: str) -> tuple[int, int] | None:
    """When it was last changed, in ns, and its size; None where it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
