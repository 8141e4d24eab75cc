"""The Cluster of one machine: it keeps objects in memory, and does what Berth relies on an API server to do.

That is versions, preconditions, watches with a bounded history, merge patches, schema defaults and garbage collection
by owner. A pod that runs is deleted only after its process has ended.
"""

import asyncio
import copy
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Literal

from berth_api.schema import format_timestamp
from berth_cluster.cluster import (
    CONFIG_MAPS,
    EVENTS,
    PODS,
    AlreadyExistsError,
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
from berth_local.node.admission import SCHEMAS, Admit
from berth_process.clock import Clock, utc_now

HISTORY = 1000
"""The changes that a watch can catch up on. A watch that is further behind must list again."""

MOST_EVENTS = 1000
"""The Kubernetes events that are kept. The oldest is forgotten first."""

DEFAULT_GRACE_SECONDS = 30
"""The termination grace of a pod that states none, as in Kubernetes."""

_STATUS_IS_APART = {CONFIG_MAPS.plural: False, EVENTS.plural: False}
_WRITABLE_METADATA = ("labels", "annotations", "ownerReferences", "finalizers")


class LocalCluster:
    """The objects of one namespace, in memory: they end with the process.

    Implements `berth_cluster.cluster.Cluster`.
    """

    def __init__(self, admission: Mapping[str, Admit] = SCHEMAS, clock: Clock = utc_now) -> None:
        self._admission = admission
        self._clock = clock
        self._objects: dict[str, dict[str, Object]] = {}
        self._history: list[tuple[int, str, WatchEvent]] = []
        self._version = 0
        self._oldest = 0
        """The history begins after this version. A watch since an earlier one has missed changes."""
        self._changed = asyncio.Event()

    async def get(self, kind: Kind, name: str) -> Object:
        """A copy of the object. Raises NotFoundError."""
        await self._begin("get")
        return copy.deepcopy(self._existing(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        """Copies of the objects that have these labels, and the version of the list."""
        await self._begin("list")
        return ObjectList(
            [copy.deepcopy(item) for item in self._of(kind).values() if _has(item, labels)], str(self._version)
        )

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """Yields the changes after version `since`, for ever. Raises ExpiredError if the history begins later."""
        await self._begin("watch")
        seen = int(since)
        while True:
            changed = self._changed
            if seen < self._oldest:
                raise ExpiredError(f"version {seen} is too old: the oldest known is {self._oldest}")
            for version, plural, event in self._history[seen - self._version :] if seen < self._version else ():
                seen = version
                if plural == kind.plural and _has(event.object, labels):
                    yield WatchEvent(event.type, copy.deepcopy(event.object))
            if seen == self._version:
                await changed.wait()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Stores a new object and returns it as stored. Raises AlreadyExistsError, InvalidError."""
        await self._begin("create")
        if (manifest.get("apiVersion"), manifest.get("kind")) != (kind.api_version, kind.kind):
            stated = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
            raise InvalidError(
                f"the object must be of apiVersion {kind.api_version} and kind {kind.kind}, not {stated}"
            )
        metadata: Object = manifest["metadata"]
        name: str = metadata.get("name") or f"{metadata['generateName']}{secrets.token_hex(4)}"
        if name in self._of(kind):
            raise AlreadyExistsError(f'{kind.plural} "{name}" already exists')
        created = self._admitted(
            kind, {key: value for key, value in copy.deepcopy(manifest).items() if key != "status"}, None
        )
        created["metadata"] |= {
            "name": name,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": format_timestamp(self._clock()),
            "generation": 1,
        }
        self._store("ADDED", kind, created)
        if kind == EVENTS:
            self._forget_events()
        returned = copy.deepcopy(created)
        if self._is_orphan(created):  # its owner was deleted in the meantime
            self._delete(kind.plural, created)
        return returned

    async def judge(self, kind: Kind, manifest: Object) -> None:
        """Raises AlreadyExistsError. What admission would say is not known before it has given what it gives."""
        await self._begin("judge")
        if manifest["metadata"].get("name") in self._of(kind):
            raise AlreadyExistsError(f'{kind.plural} "{manifest["metadata"]["name"]}" already exists')

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        """Merges the patch into all but the status, and returns the object.

        Raises NotFoundError, ConflictError and InvalidError.
        """
        await self._begin("patch")
        before = self._existing(kind, name, preconditions)
        metadata: Object = patch.get("metadata") or {}
        body = {
            key: value
            for key, value in patch.items()
            if key != "metadata" and (key != "status" or kind.plural in _STATUS_IS_APART)
        }
        writable = {key: metadata[key] for key in _WRITABLE_METADATA if key in metadata}
        patched = self._admitted(
            kind, merged(copy.deepcopy(before), copy.deepcopy({**body, "metadata": writable})), before
        )
        if patched.get("spec") != before.get("spec"):
            patched["metadata"]["generation"] += 1
        return self._replace(kind, before, patched)

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        """Merges the patch into the status, and returns the object. Raises NotFoundError, ConflictError."""
        await self._begin("patch_status")
        before = self._existing(kind, name, preconditions)
        patched = copy.deepcopy(before)
        patched["status"] = merged(patched.get("status") or {}, copy.deepcopy(status))
        return self._replace(kind, before, patched)

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Deletes the object and what it owns. A pod that runs is only marked. Raises NotFoundError, ConflictError."""
        await self._begin("delete")
        self._delete(kind.plural, self._existing(kind, name, preconditions), grace_seconds)

    def finish(self, kind: Kind, name: str, uid: str) -> None:
        """Removes an object and what it owns. Only the node calls this, once nothing of the object runs any more."""
        found = self._of(kind).get(name)
        if found and found["metadata"]["uid"] == uid:
            self._remove(kind.plural, found)

    async def _begin(self, method: str) -> None:
        """Lets other tasks run before a call takes effect, as they do while a call goes over a network."""
        await asyncio.sleep(0)

    def _of(self, kind: Kind) -> dict[str, Object]:
        return self._objects.setdefault(kind.plural, {})

    def _existing(self, kind: Kind, name: str, preconditions: Preconditions | None = None) -> Object:
        found = self._of(kind).get(name)
        if found is None:
            raise NotFoundError(f'{kind.plural} "{name}" not found')
        metadata = found["metadata"]
        if preconditions and preconditions.uid != metadata["uid"]:
            raise ConflictError(f"the uid is {metadata['uid']}, not {preconditions.uid}")
        if preconditions and preconditions.resource_version not in (None, metadata["resourceVersion"]):
            raise ConflictError(f"the version is {metadata['resourceVersion']}, not {preconditions.resource_version}")
        return found

    def _admitted(self, kind: Kind, item: Object, before: Object | None) -> Object:
        admit = self._admission.get(kind.plural)
        return admit(item, before) if admit else item

    def _replace(self, kind: Kind, before: Object, patched: Object) -> Object:
        if patched != before:
            self._store("MODIFIED", kind, patched)
        return copy.deepcopy(patched)

    def _delete(self, plural: str, deleted: Object, grace_seconds: int | None = None) -> None:
        """Removes the object. A pod whose process the node must end first is marked instead."""
        if plural != PODS.plural or not deleted["spec"].get("nodeName"):
            self._remove(plural, deleted)
            return
        marked_with: int | None = deleted["metadata"].get("deletionGracePeriodSeconds")
        own: int = deleted["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        grace = own if grace_seconds is None else grace_seconds
        if marked_with is not None and grace >= marked_with:
            return
        marked = copy.deepcopy(deleted)
        marked["metadata"] |= {
            "deletionTimestamp": format_timestamp(self._clock() + timedelta(seconds=grace)),
            "deletionGracePeriodSeconds": grace,
        }
        self._store("MODIFIED", PODS, marked)

    def _remove(self, plural: str, deleted: Object) -> None:
        del self._objects[plural][deleted["metadata"]["name"]]
        self._publish("DELETED", plural, deleted)
        uid = deleted["metadata"]["uid"]
        for owned_plural, items in self._objects.items():
            for item in list(items.values()):
                owners: list[Any] = item["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == uid for owner in owners) and item["metadata"]["name"] in items:
                    self._delete(owned_plural, item)

    def _is_orphan(self, item: Object) -> bool:
        """Whether the object has owners and none of them exists."""
        owners: list[Any] = item["metadata"].get("ownerReferences") or []
        present = (
            {each["metadata"]["uid"] for items in self._objects.values() for each in items.values()}
            if owners
            else set[str]()
        )
        return bool(owners) and not any(owner["uid"] in present for owner in owners)

    def _forget_events(self) -> None:
        events = self._of(EVENTS)
        while len(events) > MOST_EVENTS:
            self._remove(EVENTS.plural, next(iter(events.values())))

    def _store(self, change: Literal["ADDED", "MODIFIED"], kind: Kind, item: Object) -> None:
        self._of(kind)[item["metadata"]["name"]] = item
        self._publish(change, kind.plural, item)

    def _publish(self, change: Literal["ADDED", "MODIFIED", "DELETED"], plural: str, item: Object) -> None:
        """Gives the object the next version, records the change, and wakes the watches."""
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, plural, WatchEvent(change, copy.deepcopy(item))))
        if len(self._history) >= 2 * HISTORY:
            del self._history[:HISTORY]
            self._oldest = max(self._oldest, self._version - len(self._history))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _has(item: Object, labels: Mapping[str, str] | None) -> bool:
    carried: dict[str, str] = item["metadata"].get("labels") or {}
    return all(carried.get(key) == value for key, value in (labels or {}).items())


def merged(target: Object, patch: Object) -> Object:
    """The object after a JSON merge patch (RFC 7396)."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            result[key] = value
    return result
