"""What the headers and manifests of the models in the store say. They are read once and kept.

Reading a model takes one to some tens of milliseconds, so a request does not wait for a thousand models: it gets what
is known by then, and a thread reads on. A model is read again when its files have changed.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from berth_formats.abilities import Abilities
from berth_formats.describe import describe, describe_files
from berth_formats.errors import FormatError
from berth_formats.model import ModelDescription
from berth_formats.stream import content_of
from berth_hub.publishing import MANIFEST
from berth_router.errors import ServiceUnavailableError
from berth_router.store.model_store import ModelStore, StoredModel

_log = structlog.get_logger(__name__)

_MAX_MANIFEST_BYTES = 4 * 1024 * 1024

_AGAIN_SECONDS = 30.0
"""After this time a model that could not be read is tried again: the file system may have failed, not the model."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a downloaded model came from."""

    repository: str
    commit: str


@dataclass(frozen=True, slots=True)
class Described:
    """A model, and what its files say."""

    model: StoredModel
    description: ModelDescription | None = None
    broken: str | None = None
    """Why no engine could load it. None: one could, as far as headers say, or they are not read yet."""
    origin: Origin | None = None
    read: bool = False
    """Whether its files have been read."""
    again: bool = False
    """Whether reading them failed for a reason outside the model, so that it is tried again."""


class Descriptions:
    """Reads models and keeps the results. `clock` counts seconds."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._known: dict[str, Described] = {}
        self._again_at: dict[str, float] = {}
        """When a model that could not be read is tried again, by its path."""
        self._wanted: Sequence[StoredModel] = ()
        self._reading: asyncio.Task[None] | None = None
        self._waiting = 0
        self._closed = False
        self._answer: Sequence[Described] = ()
        self.read_models = 0
        """How many models were read so far."""

    async def of(self, models: Sequence[StoredModel], within: float) -> Sequence[Described]:
        """The models, with what is known of them after `within` seconds at the latest. Reading the others goes on.

        The same object as before where nothing has changed.
        """
        self._wanted = models
        deadline = time.monotonic() + within
        while self._next() is not None and not self._closed:
            reading = self._reading
            if reading is None or reading.done():
                reading = self._reading = asyncio.create_task(asyncio.to_thread(self._read_all))
            self._waiting += 1
            try:
                await asyncio.wait({reading}, timeout=deadline - time.monotonic())
            finally:
                self._waiting -= 1
            if not reading.done() or time.monotonic() >= deadline:
                break
            if fault := reading.exception():
                _log.error("headers_not_read", exc_info=fault)
                break
            # The thread may have been about to end when models were added: then another one goes on.
        answer = tuple(self._of(model) or Described(model) for model in models)
        if answer != self._answer:
            self._answer = answer
        return self._answer

    def abilities(self, path: str) -> Abilities | None:
        """What the model at this path in the store can do, as it was last read. None: that is not known, or not yet.

        It opens no file and does not wait, so that a request can ask.
        """
        known = self._known.get(path)
        return known.description.abilities if known and known.description else None

    def context_length(self, path: str) -> int | None:
        """The tokens of context that the model at this path was made for. None, and speed, as with `abilities`."""
        known = self._known.get(path)
        return known.description.context_length if known and known.description else None

    async def begin(self, store: ModelStore) -> None:
        """Begins to read all models of the store, so that they are known when somebody asks.

        If the store fails, the first request begins.
        """
        try:
            await self.of(await store.models(), 0)
        except ServiceUnavailableError as error:
            _log.warning("headers_not_read", error=error.message)

    async def close(self) -> None:
        """Stops reading."""
        self._closed = True
        if self._reading:
            await asyncio.wait({self._reading})

    def _of(self, model: StoredModel) -> Described | None:
        known = self._known.get(model.path)
        if known is None or known.model != model:
            return None
        return None if known.again and self._clock() >= self._again_at.get(model.path, 0) else known

    def _next(self) -> StoredModel | None:
        return next((model for model in self._wanted if self._of(model) is None), None)

    def _read_all(self) -> None:
        """Reads the models that are not known. Requests may add models meanwhile."""
        while not self._closed and self._next() is not None:
            wanted = self._wanted
            for model in wanted:
                if self._closed:
                    return
                if self._of(model) is None:
                    began = time.monotonic()
                    self.read_models += 1
                    described = read_model(self._root, model)
                    self._again_at[model.path] = self._clock() + _AGAIN_SECONDS
                    self._known[model.path] = described
                    if not self._waiting:  # the same process answers requests: it gets half of the time
                        time.sleep(time.monotonic() - began)
            present = {model.path for model in wanted}
            for path in self._known.keys() - present:
                del self._known[path], self._again_at[path]


def read_model(root: Path, model: StoredModel) -> Described:
    """The model, and what its files say. `root`: where the store is."""
    if model.unreadable:
        return Described(model, broken=f"it cannot be read: {model.unreadable}", read=True, again=True)
    place = root / model.name
    origin: Origin | None = None
    try:
        manifest = _manifest(place)
        if manifest is not None:
            origin = _origin(manifest)
            _check_files(manifest, model)
        # A file at the store's top is a model by itself.
        alone = len(model.files) == 1 and model.files[0].name == model.name and model.name.endswith(".gguf")
        description = (
            describe(place) if alone else describe_files(place, [(file.name, file.size) for file in model.files])
        )
    except FormatError as error:
        return Described(model, broken=str(error), origin=origin, read=True, again=isinstance(error.__cause__, OSError))
    except OSError as error:
        return Described(model, broken=f"it cannot be read: {error.strerror}", origin=origin, read=True, again=True)
    except Exception:  # noqa: BLE001 (a fault here must not keep the other models from being read)
        _log.exception("model_not_described", model=model.path)
        return Described(model, broken="Berth failed to read it; the router's log says more", origin=origin, read=True)
    return Described(model, description, origin=origin, read=True)


def origin_of(place: Path) -> Origin | None:
    """Where the model in a directory came from. None: it was not downloaded. Raises FormatError: a damaged manifest."""
    manifest = _manifest(place)
    return None if manifest is None else _origin(manifest)


def _manifest(place: Path) -> Mapping[str, Any] | None:
    """What the download wrote about the model. None: it was not downloaded."""
    path = place / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = json.loads(content_of(path, _MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its manifest {MANIFEST} is damaged: {str(error)[:200]}") from error
    if not isinstance(manifest, dict):
        raise FormatError(f"its manifest {MANIFEST} is damaged: it holds no object")
    return manifest  # pyright: ignore[reportUnknownVariableType]


def _origin(manifest: Mapping[str, Any]) -> Origin:
    match manifest:
        case {"repository": str(repository), "commit": str(commit)}:
            return Origin(repository, commit)
        case _:
            raise FormatError(f"its manifest {MANIFEST} is damaged: it names no repository and commit")


def _check_files(manifest: Mapping[str, Any], model: StoredModel) -> None:
    """Raises FormatError where a downloaded file is missing or has another size."""
    sizes = {file.name: file.size for file in model.files}
    match manifest.get("files"):
        case [*stated]:
            files: list[Any] = stated
        case _:
            raise FormatError(f"its manifest {MANIFEST} is damaged: it lists no files")
    for file in files:
        match file:
            case {"path": str(path), "size": int(size)} if sizes.get(path) != size:
                there = f"has {sizes[path]} bytes" if path in sizes else "is missing"
                raise FormatError(
                    f"{path} {there}; it was downloaded with {size} bytes: delete the model and download it again"
                )
            case _:
                pass
