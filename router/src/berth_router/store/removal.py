"""Deletes models from the store: one rename moves the model aside, then its files are deleted.

So no model is ever half there under its own name. If the router crashes in between, a later start deletes the rest.
"""

import asyncio
import errno
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from berth_api.model_deployment import MODEL_STORE
from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, Cluster, ClusterError, Object
from berth_router.errors import (
    APIError,
    NotOfferedError,
    RequestConflictError,
    ServiceUnavailableError,
    UnknownModelError,
)
from berth_router.store.model_downloads import unfinished
from berth_router.store.model_store import is_absence, store_unavailable

_log = structlog.get_logger(__name__)

ASIDE = ".deleted-"
"""The name of a model that is being deleted begins with this. It is hidden, so it is no model any more."""

LEFT_OVER_SECONDS = 3600
"""After this time no router is still deleting a model that was moved aside."""

_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Remover:
    """Deletes models that nothing uses."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self._cluster = cluster
        self._root = root
        self._deleting: set[asyncio.Task[None]] = set()

    async def remove(self, name: str) -> None:
        """Deletes the model of this name below the store. The name must be a model's.

        Raises RequestConflictError where something uses it, NotOfferedError where the store is not writable,
        UnknownModelError where it has just been deleted, ServiceUnavailableError where the cluster does not
        answer or the store fails.
        """
        await self._check_unused(name)
        place = self._root / name
        aside = self._root / f"{ASIDE}{secrets.token_hex(8)}"
        await _moved(place, aside, name)
        try:
            # A deployment may have been created meanwhile. One that is created from now on finds no model.
            await self._check_unused(name)
        except BaseException:
            await _moved_back(aside, place)
            raise
        await asyncio.to_thread(_remove_if_empty, place.parent, self._root)
        task = asyncio.create_task(asyncio.to_thread(_delete, aside))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)
        _log.info("model_deleted", model=f"{MODEL_STORE}/{name}")

    def begin_sweep(self) -> threading.Thread:
        """Begins to delete what earlier routers moved aside and did not delete. Failures are logged.

        A thread of its own does it, and nobody waits for it: a slow store delays neither start nor end of a router.
        """
        sweeping = threading.Thread(target=_sweep, args=(self._root, time.time()), name="sweep", daemon=True)
        sweeping.start()
        return sweeping

    async def _check_unused(self, name: str) -> None:
        path = f"{MODEL_STORE}/{name}"
        try:
            deployments = (await self._cluster.list(MODEL_DEPLOYMENTS)).items
            downloads = (await self._cluster.list(MODEL_DOWNLOADS)).items
        except ClusterError as error:
            raise ServiceUnavailableError(
                f"Whether {path} is in use cannot be known now: {error}", code="cluster_unavailable"
            ) from error
        users = [one["metadata"]["name"] for one in deployments if _is_within(_model_of(one), path)]
        if users:
            raise RequestConflictError(
                f"{path} is in use by {_listed('ModelDeployment', users)}. Unload it (POST /v1/models/unload), and"
                " delete what a person declared, before the model is deleted.",
                code="model_in_use",
            )
        fillers = [
            download.name
            for download in unfinished(downloads)
            if _is_within(f"{MODEL_STORE}/{download.destination}", path)
        ]
        if fillers:
            raise RequestConflictError(
                f"{path} is being downloaded by {_listed('ModelDownload', fillers)}."
                " Cancel it with DELETE /v1/models/download/JOB_ID.",
                code="model_in_use",
            )


def _model_of(deployment: Object) -> str:
    """The path of its model, even where this version cannot read the rest. Empty: it has none."""
    match deployment:
        case {"spec": {"model": str(model)}}:
            return model
        case _:
            return ""


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def _listed(kind: str, names: Sequence[str]) -> str:
    return f"the {kind}{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}"


async def _moved(source: Path, target: Path, name: str) -> None:
    try:
        await asyncio.to_thread(source.rename, target)
    except OSError as error:
        raise _not_moved(error, name) from error


def _not_moved(error: OSError, name: str) -> APIError:
    if is_absence(error):
        return UnknownModelError(
            f"{MODEL_STORE}/{name} is not in the model store any more.",
            param="name",
            code="model_not_found",
        )
    if error.errno in _NOT_WRITABLE:
        return NotOfferedError(
            f"{MODEL_STORE}/{name} cannot be moved in the store: {error.strerror}."
            " Does the store belong to the router's user?",
            code="store_not_writable",
        )
    return store_unavailable(error)


async def _moved_back(aside: Path, place: Path) -> None:
    """Undoes a move. If that fails, the log says how a person can undo it."""
    try:
        await asyncio.to_thread(aside.rename, place)
    except OSError as error:
        hours = LEFT_OVER_SECONDS // 3600
        _log.error(
            "model_left_aside",
            path=str(aside),
            belongs_at=str(place),
            error=str(error),
            deleted_after_hours=hours,
        )


def _remove_if_empty(folder: Path, root: Path) -> None:
    """Deletes an organization's folder with its last model."""
    if folder != root:
        with suppress(OSError):
            folder.rmdir()


def _delete(aside: Path) -> None:
    try:
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except OSError as error:  # a later sweep tries again
        _log.warning("model_not_deleted", path=str(aside), error=str(error))


def _sweep(root: Path, now: float) -> None:
    try:
        for entry in root.iterdir():
            if entry.name.startswith(ASIDE) and now - _changed_at(entry, now) > LEFT_OVER_SECONDS:
                _delete(entry)
                _log.info("leftover_deleted", path=str(entry))
    except OSError as error:
        if not is_absence(error):  # there is no store yet
            _log.warning("store_not_swept", path=str(root), error=str(error))
    except Exception:  # noqa: BLE001 (nobody waits for this thread: only the log can show it)
        _log.exception("store_not_swept", path=str(root))


def _changed_at(entry: Path, now: float) -> float:
    """When the entry was moved aside. `now`: it is gone, since another router deletes such entries too."""
    try:
        return entry.lstat().st_ctime
    except OSError as error:
        if is_absence(error):
            return now
        raise
