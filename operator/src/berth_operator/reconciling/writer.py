"""Writes what a plan says of one kind of resource: its status, the objects that it owns, and its events."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from berth_api.resource import Resource
from berth_api.schema import Schema
from berth_cluster.cluster import (
    AlreadyExistsError,
    Cluster,
    ConflictError,
    ForbiddenError,
    InvalidError,
    Kind,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_operator.objects.parts import owned_by
from berth_operator.reconciling.event_recorder import EventRecorder
from berth_operator.reconciling.reading import Unreadable, unreadable_status
from berth_operator.reconciling.workers import Workers

_WRITTEN_BY_ROUTERS = "activity"
"""The field of a deployment's status that routers write."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """The action: write the plan's status, if the resource is still as it was read."""


@dataclass(frozen=True, slots=True)
class DeleteResource:
    """The action: delete the resource, if it is still as it was read."""

    preconditions: Preconditions


@dataclass(frozen=True, slots=True)
class NameTaken:
    """An object was not created: one of its name exists, and the resource does not own it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An object was not created: the API server does not allow it."""

    message: str


class ResourceWriter:
    """Writes for the resources of one kind, through `workers`, so that the echo of a write wakes nobody."""

    def __init__(self, cluster: Cluster, kind: Kind, workers: Workers) -> None:
        self._cluster = cluster
        self._kind = kind
        self._workers = workers
        self._events = EventRecorder(cluster)

    async def create(self, kind: Kind, manifest: Object, owner: Resource[Any, Any]) -> NameTaken | Refused | None:
        """Creates an object that the resource owns. None where it exists now, be it from an earlier round.

        Raises ClusterError.
        """
        name: str = manifest["metadata"]["name"]
        try:
            await self._workers.write(owner.name, self._cluster.create(kind, manifest))
        except AlreadyExistsError as error:
            try:
                found = await self._cluster.get(kind, name)
            except NotFoundError:
                raise ConflictError(f"the {kind.kind} {name} has gone since") from error
            return None if owned_by(found, owner.uid) else NameTaken()
        except (ForbiddenError, InvalidError) as error:
            return Refused(str(error))
        return None

    async def judge(self, kind: Kind, manifest: Object) -> Refused | None:
        """Whether the API server would refuse the object. None: it would not, or that cannot be said beforehand.

        Raises ClusterError.
        """
        try:
            await self._cluster.judge(kind, manifest)
        except (ForbiddenError, InvalidError) as error:
            return Refused(str(error))
        except AlreadyExistsError:
            pass  # from an earlier round
        return None

    async def delete(self, kind: Kind, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Deletes this very object. One that is gone, or has a successor of its name, is no error."""
        with suppress(NotFoundError, ConflictError):
            await self._cluster.delete(kind, name, Preconditions(uid), grace_seconds)

    async def delete_resource(self, name: str, action: DeleteResource) -> None:
        """Deletes the resource. Raises ConflictError where it has changed since it was read."""
        await self._cluster.delete(self._kind, name, action.preconditions)

    async def write_status(self, resource: Resource[Any, Any], planned: Schema, forget: Iterable[str] = ()) -> bool:
        """Writes the planned status; False where nothing differs from the stored one. `forget`: as for `status_patch`.

        Raises ConflictError where the resource has changed since it was read.
        """
        patch = status_patch(resource.status, planned, forget)
        if not patch:
            return False
        as_read = Preconditions(resource.uid, resource.resource_version)
        write = self._cluster.patch_status(self._kind, resource.name, patch, as_read)
        await self._workers.write(resource.name, write)
        return True

    async def report_unreadable(self, manifest: Object, why: Unreadable, fields: Object, now: datetime) -> None:
        """Writes into the status of a resource why it cannot be understood. `fields`: as for `unreadable_status`."""
        patch = unreadable_status(manifest, why, fields, now)
        if not patch:
            return
        metadata = manifest["metadata"]
        as_read = Preconditions(metadata["uid"], metadata["resourceVersion"])
        write = self._cluster.patch_status(self._kind, metadata["name"], patch, as_read)
        with suppress(InvalidError):  # the API server does not understand the object either; the log has the reason
            await self._workers.write(metadata["name"], write)

    async def publish(self, event: Object) -> None:
        """Publishes a Kubernetes event. A failure is only logged."""
        await self._events.publish(event)


def status_patch(stored: Schema, planned: Schema, forget: Iterable[str] = ()) -> Object:
    """The JSON merge patch (RFC 7396) that makes the planned status of the stored one; empty where nothing differs.

    Routers write `activity`: only its entries in `forget` are removed.
    """
    patch = merge_patch(_written_by_operator(stored), _written_by_operator(planned))
    forgotten = dict.fromkeys(forget)
    return {**patch, **({_WRITTEN_BY_ROUTERS: forgotten} if forgotten else {})}


def merge_patch(before: Object, after: Object) -> Object:
    """The smallest merge patch that makes `after` of `before`: a key that is gone becomes null."""
    patch: Object = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        both_objects = isinstance(old, dict) and isinstance(value, dict)
        patch[key] = merge_patch(cast("Object", old), cast("Object", value)) if both_objects else value
    return patch


def _written_by_operator(status: Schema) -> Object:
    return {key: value for key, value in status.manifest().items() if key != _WRITTEN_BY_ROUTERS}
