"""The models in the store, and the files of each. The router needs to read the store only.

A store may hold a thousand models on a network file system. So a thread reads it, once at a time, and the result is
kept: a model is read again when one of its directories has changed, or when the result is old.

A model that cannot be read is not absent: it is listed with the reason. A store that fails is an error.
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
from berth_router.errors import ServiceUnavailableError
from berth_router.store.shared_call import SharedCall

_log = structlog.get_logger(__name__)

_VALID_PATH = re.compile(MODEL_PATH_PATTERN)
_NOT_A_MODEL = "lost+found"
"""A directory that mkfs makes at the top of a volume."""

_MAX_DEPTH = 4
_MAX_FILES = 10_000
"""Levels of directories below a model's own, and files of one model, that are read: the search has an end."""

_RACY_NS = 2_000_000_000
"""A directory that changed so shortly before it was read may have changed again without a new time stamp."""

_ABSENCES = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""No such file, a file instead of a directory, a name that no file can have, a loop of links."""

_OLD_NS = 300_000_000_000
"""A result of this age is read again: a file that grows changes no directory."""


class FileType(StrEnum):
    """What a file of a model is."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"
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
    """A model in the store: its path in the API, its last change in seconds since 1970, and its files by name."""

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
class ModelLookup:
    """What the store has of one model."""

    exists: bool
    models: Sequence[str] = ()
    """Paths of the models that the store has, where it does not have this one."""
    weights: frozenset[str] = frozenset()
    """The formats of weights among the model's files: GGUF, SAFETENSORS. Empty where there are none of either."""


@dataclass(frozen=True, slots=True)
class _FoundModels:
    """The models in one entry at the top of the store, and the time stamps that say whether that still holds."""

    models: tuple[StoredModel, ...]
    stamps: dict[str, tuple[int, int]]
    read_at: int

    def is_current(self, now: int) -> bool:
        if now - self.read_at > _OLD_NS or any(model.unreadable for model in self.models):
            return False
        newest = max(changed for changed, _ in self.stamps.values())
        return self.read_at - newest > _RACY_NS and all(_stamp(path) == stamp for path, stamp in self.stamps.items())


class ModelStore:
    """Reads the store. Each method raises ServiceUnavailableError where the store fails."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[str, _FoundModels] = {}
        self._models: tuple[StoredModel, ...] = ()
        self._refreshed = SharedCall(lambda: asyncio.to_thread(self._refresh))
        self.read_models = 0
        """How many entries at the top of the store were read so far."""

    async def lookup(self, model: str) -> ModelLookup:
        """What the store has of the model; if nothing, its other models. `model` is a valid path below MODEL_STORE."""
        try:
            found = await asyncio.to_thread(self._lookup, model)
        except OSError as error:
            raise store_unavailable(error) from error
        return found or ModelLookup(exists=False, models=[stored.path for stored in await self.models()])

    async def has(self, model: str) -> bool:
        """Whether the store has something at the model's path, which is valid and below MODEL_STORE."""
        try:
            return await asyncio.to_thread(self._lookup, model) is not None
        except OSError as error:
            raise store_unavailable(error) from error

    async def models(self) -> Sequence[StoredModel]:
        """All models, by path: .gguf files and directories at the top of the store.

        In place of a directory that holds only directories, those. All that was there before the call is in the result.
        The same object as before where nothing has changed. Empty where there is no store.
        """
        try:
            return await self._refreshed()
        except OSError as error:
            raise store_unavailable(error) from error

    def _lookup(self, model: str) -> ModelLookup | None:
        path = self._root / model.removeprefix(f"{MODEL_STORE}/")
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
            names = [file.name for file in _files(path, {})] if is_directory else [path.name]
        except OSError as error:
            if is_absence(error):
                return None
            raise
        return ModelLookup(exists=True, weights=formats_of(names))

    def _refresh(self) -> tuple[StoredModel, ...]:
        now = time.time_ns()
        entries: dict[str, _FoundModels] = {}
        for name in _names(self._root):
            known = self._entries.get(name)
            if known is None or not known.is_current(now):
                known = self._read(name)
            if known:
                entries[name] = known
        self._entries = entries
        models = sorted((model for entry in entries.values() for model in entry.models), key=lambda model: model.path)
        if self._models != tuple(models):
            for model in set(models).difference(self._models):
                if model.unreadable:
                    _log.warning("model_not_read", model=model.path, error=model.unreadable)
            self._models = tuple(models)
        return self._models

    def _read(self, name: str) -> _FoundModels | None:
        """Reads one entry at the top. None: it is no model, or it is gone."""
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
        return _FoundModels(models, stamps, read_at)


def is_absence(error: OSError) -> bool:
    """Whether the error says that there is no such file. Any other error leaves that open."""
    return error.errno in _ABSENCES


def store_unavailable(error: OSError) -> ServiceUnavailableError:
    """The error for a store that cannot be read."""
    why = error.strerror or type(error).__name__
    _log.warning("store_not_read", path=str(error.filename), error=why)
    return ServiceUnavailableError(
        f"The model store cannot be read now: {why}. If that stays so, look at its file system and permissions.",
        code="store_unavailable",
    )


def type_of(name: str) -> FileType:
    """The type of a file of this name."""
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
    """The files of a model by name, without hidden ones (downloads in progress) and without files that go away.

    Adds the time stamp of each directory to `stamps`. Raises OSError where the directory does not exist, or one in it
    cannot be read.
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
    """Whether the entry is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if is_absence(error):
            return False
        raise


def _size_of(entry: "os.DirEntry[str]") -> int | None:
    """The size of a file in bytes. None: it is no file, or it is gone."""
    try:
        found = entry.stat()
    except OSError as error:
        if is_absence(error):
            return None
        raise
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _stamp(path: str) -> tuple[int, int] | None:
    """When the path last changed, in ns, and its size. None: it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
