"""A Cluster in memory, true to the API server in what Berth relies on.

That is versions, preconditions, watches, merge patches and garbage collection.
"""

import asyncio
import copy
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from berth_api.cluster import (
    MODEL_DEPLOYMENTS,
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    ExpiredError,
    InvalidError,
    Kind,
    NotFoundError,
    Object,
    ObjectList,
    Preconditions,
    WatchEvent,
)
from berth_api.model_deployment import ModelDeploymentSpec

Owners = list[dict[str, Any]]


class MemoryCluster:
    """Objects of one namespace. `calls` counts the calls of each method; `fail_next` makes one fail."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Object] = {}
        self._history: list[tuple[int, str, WatchEvent]] = []
        self._versions = itertools.count(1)
        self._version = 0
        self._oldest = 0
        self._changed = asyncio.Event()
        self._failures: dict[str, list[ClusterError]] = {}
        self.calls: Counter[str] = Counter()

    def fail_next(self, method: str, error: ClusterError) -> None:
        """The next call of the method raises the error instead."""
        self._failures.setdefault(method, []).append(error)

    def expire_watches(self) -> None:
        """Forgets the history, as etcd's compaction does: watches end with ExpiredError."""
        self._oldest = self._version
        self._wake()

    async def get(self, kind: Kind, name: str) -> Object:
        await self._begin("get")
        return copy.deepcopy(self._existing(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        await self._begin("list")
        items = [copy.deepcopy(item) for (plural, _), item in self._objects.items() if plural == kind.plural and _has(item, labels)]
        return ObjectList(items, str(self._version))

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        await self._begin("watch")
        seen = int(since)
        while True:
            changed = self._changed
            if seen < self._oldest:
                raise ExpiredError(f"version {seen} is too old")
            for version, plural, event in [entry for entry in self._history if entry[0] > seen]:
                seen = version
                if plural == kind.plural and _has(event.object, labels):
                    yield WatchEvent(event.type, copy.deepcopy(event.object))
            await changed.wait()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        await self._begin("create")
        name = manifest["metadata"]["name"]
        if (kind.plural, name) in self._objects:
            raise AlreadyExistsError(f'{kind.plural} "{name}" already exists')
        created = copy.deepcopy({key: value for key, value in manifest.items() if key != "status"})
        if kind == MODEL_DEPLOYMENTS:
            created["spec"] = _admitted(created["spec"])
        created["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "generation": 1,
        }
        self._store("ADDED", kind, created)
        return copy.deepcopy(created)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        await self._begin("patch")
        patched = _merged(copy.deepcopy(self._existing(kind, name, preconditions)), copy.deepcopy(patch))
        if patched != self._objects[kind.plural, name]:
            self._store("MODIFIED", kind, patched)
        return copy.deepcopy(patched)

    async def patch_status(self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None) -> Object:
        await self._begin("patch_status")
        patched = copy.deepcopy(self._existing(kind, name, preconditions))
        patched["status"] = _merged(patched.get("status") or {}, copy.deepcopy(status))
        if patched != self._objects[kind.plural, name]:
            self._store("MODIFIED", kind, patched)
        return copy.deepcopy(patched)

    async def delete(self, kind: Kind, name: str, preconditions: Preconditions | None = None) -> None:
        await self._begin("delete")
        self._remove(kind.plural, self._existing(kind, name, preconditions))

    def _remove(self, plural: str, deleted: Object) -> None:
        del self._objects[plural, deleted["metadata"]["name"]]
        self._publish("DELETED", plural, deleted)
        for (owned_plural, _), item in list(self._objects.items()):
            owners: Owners = item["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == deleted["metadata"]["uid"] for owner in owners):
                self._remove(owned_plural, item)

    async def _begin(self, method: str) -> None:
        """As over a network, others get their turn before a call takes effect."""
        self.calls[method] += 1
        await asyncio.sleep(0)
        failures = self._failures.get(method)
        if failures:
            raise failures.pop(0)

    def _existing(self, kind: Kind, name: str, preconditions: Preconditions | None = None) -> Object:
        found = self._objects.get((kind.plural, name))
        if found is None:
            raise NotFoundError(f'{kind.plural} "{name}" not found')
        metadata = found["metadata"]
        if preconditions and preconditions.uid != metadata["uid"]:
            raise ConflictError(f"the uid is {metadata['uid']}, not {preconditions.uid}")
        if preconditions and preconditions.resource_version not in (None, metadata["resourceVersion"]):
            raise ConflictError(f"the version is {metadata['resourceVersion']}, not {preconditions.resource_version}")
        return found

    def _store(self, change: Any, kind: Kind, item: Object) -> None:
        self._objects[kind.plural, item["metadata"]["name"]] = item
        self._publish(change, kind.plural, item)

    def _publish(self, change: Any, plural: str, item: Object) -> None:
        self._version = next(self._versions)
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, plural, WatchEvent(change, copy.deepcopy(item))))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _has(item: Object, labels: Mapping[str, str] | None) -> bool:
    carried: dict[str, str] = item["metadata"].get("labels") or {}
    return all(carried.get(key) == value for key, value in (labels or {}).items())


def _admitted(spec: Object) -> Object:
    """The spec with the schema's defaults, as the API server stores it."""
    try:
        return ModelDeploymentSpec.model_validate(spec).manifest()
    except ValidationError as error:
        raise InvalidError(str(error)) from error


def _merged(target: Object, patch: Object) -> Object:
    """JSON merge patch, RFC 7396."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = _merged(before if isinstance(before, dict) else {}, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            result[key] = value
    return result
