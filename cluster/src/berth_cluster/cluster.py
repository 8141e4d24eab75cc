"""The one interface through which Berth reads and writes objects, on Kubernetes and on one machine."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

GROUP = "berth.dev"
VERSION = "v1alpha1"

LABEL_DEPLOYMENT = f"{GROUP}/deployment"
"""On every pod of a deployment: the deployment's name."""

MEMORY_ANNOTATION = f"{GROUP}/memory-bytes"
"""On a pod, where there is a budget of memory: the bytes that are counted for it."""

CONTEXT_ANNOTATION = f"{GROUP}/context-size"
"""On a pod, where there is a budget of memory: the tokens of context that one request gets."""

TRAINED_CONTEXT_ANNOTATION = f"{GROUP}/trained-context-size"
"""On a pod, where there is a budget of memory: the tokens of context that its model was made for."""

MADE_FROM_ANNOTATION = f"{GROUP}/made-from"
"""On an engine's pod: digests of all that it was made from."""

GENERATION_ANNOTATION = f"{GROUP}/generation"
"""On an engine's pod: the generation of the deployment's spec that it was made from."""

LABEL_DOWNLOAD = f"{GROUP}/download"
"""On every Job of a download and on its pods: the download's name."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

ROUTER = "berth-router"
"""Value of that label on what a router has created. A deployment without it was declared by a person."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: where the API serves it, and its name in a manifest."""

    api_version: str
    kind: str
    plural: str
    everywhere: bool = False
    """Whether objects of the whole cluster are meant, and not those of one namespace."""


MODEL_DEPLOYMENTS = Kind(f"{GROUP}/{VERSION}", "ModelDeployment", "modeldeployments")
MODEL_DOWNLOADS = Kind(f"{GROUP}/{VERSION}", "ModelDownload", "modeldownloads")
JOBS = Kind("batch/v1", "Job", "jobs")
PODS = Kind("v1", "Pod", "pods")
EVENTS = Kind("v1", "Event", "events")
CONFIG_MAPS = Kind("v1", "ConfigMap", "configmaps")
SECRETS = Kind("v1", "Secret", "secrets")
LEASES = Kind("coordination.k8s.io/v1", "Lease", "leases")
NODES = Kind("v1", "Node", "nodes", everywhere=True)
PODS_EVERYWHERE = Kind("v1", "Pod", "pods", everywhere=True)


@dataclass(frozen=True, slots=True)
class ObjectList:
    """The result of a list, and the version to watch from."""

    items: Sequence[Object]
    """There may be ten thousand: whoever needs one again keeps what it needs of it."""
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. The object is as it was just after the change, or just before for DELETED."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must still be true of an object, or a write does not happen."""

    uid: str
    resource_version: str | None = None


class ClusterError(Exception):
    """The cluster refused or failed. The message is for people; `status` is the HTTP status, 0 where none came."""

    status = 0


class NotFoundError(ClusterError):
    """There is no such object."""

    status = 404


class AlreadyExistsError(ClusterError):
    """An object of that name exists."""

    status = 409


class ConflictError(ClusterError):
    """A precondition no longer holds: the object has changed since it was read."""

    status = 409


class InvalidError(ClusterError):
    """The object is not valid; the message says which field and what is allowed."""

    status = 422


class ForbiddenError(ClusterError):
    """The caller may not do that: missing permission, quota or policy."""

    status = 403


class ExpiredError(ClusterError):
    """The version to watch from is too old: list again."""

    status = 410


class UnavailableError(ClusterError):
    """The cluster could not be reached or could not answer; trying again later may work."""

    status = 503


class Cluster(Protocol):
    """Objects of one namespace. Every method raises ClusterError; each call is bounded in time.

    A name that no object can have is a NotFoundError; a label that no object can have is an InvalidError.
    """

    async def get(self, kind: Kind, name: str) -> Object:
        """The object as it is now."""
        ...

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        """All objects of the kind with these labels, as they are now."""
        ...

    def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """Changes after the version `since`.

        Ends when the server closes it; raises ExpiredError when `since` is too old.
        """
        ...

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Creates the object; AlreadyExistsError where the name is taken."""
        ...

    async def judge(self, kind: Kind, manifest: Object) -> None:
        """Raises what `create` would raise, and creates nothing.

        What may be otherwise in a moment, such as a full quota, and what nobody can judge beforehand, raises nothing.
        """
        ...

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        """Merges `patch` into the object, without its status, and returns the whole object. JSON merge patch, RFC 7396.

        Preconditions as for `patch_status`.
        """
        ...

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        """Merges `status` into the object's status and returns the whole object. In a merge patch null removes a key.

        ConflictError where a precondition does not hold: then nothing was written.
        """
        ...

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Deletes the object and, in the background, what it owns; ConflictError where a precondition no longer holds.

        `grace_seconds`: what a pod's processes get to end. None: what the pod itself says. For a pod that somebody has
        already deleted, it can only become shorter.
        """
        ...
