"""Moves a finished download to its place: a model's directory is absent or complete, and never overwritten.

All of the directory is on disk before one rename moves it. Its manifest says what it holds.
"""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from berth_formats.model_card import CARD
from berth_hub.errors import DestinationTakenError
from berth_hub.repository import RepositoryFile
from berth_hub.staging import store_errors, write_whole

MANIFEST = ".berth-manifest.json"
"""The file that every downloaded model has in its directory."""

_VERSION = 1


def manifest(repository: str, revision: str, commit: str, files: Sequence[RepositoryFile]) -> dict[str, Any]:
    """What a model's directory holds, and where it came from."""
    return {
        "version": _VERSION,
        "repository": repository,
        "revision": revision,
        "commit": commit,
        "files": [_stated(file) for file in sorted(files, key=lambda file: file.path)],
    }


def check_destination(store: Path, destination: str, repository: str, files: Sequence[RepositoryFile]) -> bool:
    """Whether exactly these files of this repository are there already. False: nothing is there.

    The commit does not matter if the content is the same, nor does the model's card: people edit it for years, and
    earlier downloads have none. Raises DestinationTakenError if anything else is there, and StoreError.
    """
    with store_errors(store):
        target = store / destination
        parent = target.parent
        if parent != store and (parent / MANIFEST).exists():
            raise DestinationTakenError(
                f"destination {destination} lies inside the model {parent.relative_to(store)}: choose another"
            )
        if not os.path.lexists(target) or (target.is_dir() and not target.is_symlink() and not any(target.iterdir())):
            return False
        found = _read(target)
        if found is None:
            raise DestinationTakenError(
                f"destination {destination} holds what no download put there: choose another, or delete it first"
            )
        wanted = sorted((file for file in files if file.path != CARD), key=lambda file: file.path)
        if found.get("repository") != repository or _without_card(found) != [_stated(file) for file in wanted]:
            held = f"{found.get('repository')}@{str(found.get('commit'))[:12]}"
            raise DestinationTakenError(
                f"destination {destination} holds other files ({held}): "
                "choose another destination, or delete that model first"
            )
        broken = [file.path for file in wanted if not _is_there(target / file.path, file.size)]
        if broken:
            raise DestinationTakenError(
                f"destination {destination} holds this model but {broken[0]} is missing or of another size: "
                "delete it, then download it"
            )
        return True


def publish(store: Path, destination: str, model: Path, content: dict[str, Any]) -> bool:
    """Moves the directory `model` to its place, with a manifest. Its files must be on disk already.

    False: something is at that place by now, and nothing was moved. Raises StoreError.
    """
    with store_errors(store):
        target = store / destination
        write_whole(model / MANIFEST, json.dumps(content, indent=2).encode())
        for folder, _, _ in os.walk(model, topdown=False):
            _sync(Path(folder))
        target.parent.mkdir(exist_ok=True)
        try:
            # A rename replaces nothing but an empty directory.
            model.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
        for folder in {target.parent, store, model.parent}:
            _sync(folder)
        return True


def _stated(file: RepositoryFile) -> dict[str, Any]:
    hashes = {"sha256": file.sha256} if file.sha256 else {"gitHash": file.git_hash}
    return {"path": file.path, "size": file.size, **hashes}


def _read(target: Path) -> dict[str, Any] | None:
    try:
        found: Any = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _without_card(content: dict[str, Any]) -> list[Any]:
    """The files of a manifest that make the model."""
    files: Any = content.get("files")
    return [file for file in cast("list[Any]", files) if not _is_card(file)] if isinstance(files, list) else []


def _is_card(file: Any) -> bool:
    return isinstance(file, dict) and cast("dict[str, Any]", file).get("path") == CARD


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
