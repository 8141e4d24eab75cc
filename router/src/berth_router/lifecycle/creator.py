"""Creates each deployment once, however many requests of this replica want it; each waits until its own deadline."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from berth_api.identity import deployment_name
from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
)
from berth_router.errors import APIError, DeadlineError, InvalidRequestError, ServiceUnavailableError
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import Create, manifest
from berth_router.lifecycle.waiting import set_by

_log = structlog.get_logger(__name__)

_ATTACH_SECONDS = 5.0
"""Longest wait for the watch to show an object that a write said is there."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An object that bears the name already."""

    deleting: bool


class Creator:
    """Makes deployments."""

    def __init__(self, cluster: Cluster, deployments: Deployments) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._creating: dict[str, asyncio.Task[_Found | None]] = {}

    async def create(self, create: Create, deadline: float) -> None:
        """Returns when the deployment is in the view, or it is worth looking again.

        `deadline` is this caller's own, on the monotonic clock. Raises APIError.
        """
        task = self._creating.get(create.name)
        if task is None:
            task = asyncio.create_task(self._create(create))
            self._creating[create.name] = task
            task.add_done_callback(lambda done: self._created(create.name, done))
        # Shielded: the client that came first may leave while others wait.
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                found = await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineError(
                f"The cluster has not yet said whether {create.spec.model} can be started.", code="deadline_exceeded"
            ) from None
        if found:
            await self._attach(create, found, deadline)

    def _created(self, name: str, task: asyncio.Task[_Found | None]) -> None:
        del self._creating[name]
        if not task.cancelled():
            task.exception()  # whoever still waits has it; if nobody does, there is nobody to tell

    async def _create(self, create: Create) -> _Found | None:
        """Creates the object; what bears its name where it cannot. Bounded as the cluster's calls are.

        Raises APIError.
        """
        body: Object = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            **manifest(create),
        }
        try:
            self._deployments.put(await self._cluster.create(MODEL_DEPLOYMENTS, body))
        except AlreadyExistsError:
            return await self._look(create)
        except ClusterError as error:
            raise _refused(create, error) from error
        _log.info("deployment_created", deployment=create.name, model=create.spec.model)
        return None

    async def _look(self, create: Create) -> _Found | None:
        try:
            found = await self._cluster.get(MODEL_DEPLOYMENTS, create.name)
        except NotFoundError:
            return None
        except ClusterError as error:
            raise _refused(create, error) from error
        self._deployments.put(found)
        return _Found(deleting="deletionTimestamp" in found["metadata"])

    async def _attach(self, create: Create, found: _Found, deadline: float) -> None:
        """Returns when the object that bears the name is in the view, or is gone.

        Raises APIError where it is something else.
        """
        if found.deleting:
            await self._until_deleted(create, deadline)
            return
        change = self._deployments.change(create.name)
        held = self._deployments.get(create.name)
        if held is None:
            await set_by(change, min(deadline, time.monotonic() + _ATTACH_SECONDS))
        elif deployment_name(held.spec) != create.name:
            raise ServiceUnavailableError(
                f"{create.spec.model} cannot be started: its name {create.name} is taken by a deployment with other settings.",
                code="name_taken",
            )

    async def _until_deleted(self, create: Create, deadline: float) -> None:
        while True:
            change = self._deployments.change(create.name)
            held = self._deployments.get(create.name)
            if held is None or not held.deleting:
                return
            if not await set_by(change, deadline):
                raise DeadlineError(
                    f"{create.spec.model} waits for its predecessor {create.name} to be deleted.",
                    code="deadline_exceeded",
                )


def _refused(create: Create, error: ClusterError) -> APIError:
    """What a request is told whose deployment the cluster does not take."""
    model = create.spec.model
    if isinstance(error, InvalidError):
        return InvalidRequestError(f"{model} cannot be started: {error}", code="invalid_value")
    if isinstance(error, ForbiddenError):
        return ServiceUnavailableError(
            f"The cluster does not let {model} be started: {error}", code="cluster_forbids", retry_after=60
        )
    return ServiceUnavailableError(f"{model} cannot be started now: {error}", code="cluster_unavailable")
