"""Finds the deployment for a request, or creates it: once for all requests, each of which waits to its own deadline."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from berth_api.identity import deployment_name
from berth_api.model_deployment import ModelDeployment, Phase
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
from berth_router.lifecycle.deployments import Deployments, wait_until
from berth_router.lifecycle.resolve import Create, Policy, Refuse, manifest, match, resolve
from berth_router.request.ask import Ask
from berth_router.store.model_store import ModelLookup, ModelStore

_log = structlog.get_logger(__name__)

_SHOWN_SECONDS = 5.0
"""Longest wait for the watch to show an object that a write found."""


@dataclass(frozen=True, slots=True)
class _ExistingObject:
    """An object that has the name already."""

    deleting: bool


class Creator:
    """Finds and creates deployments."""

    def __init__(self, cluster: Cluster, deployments: Deployments, store: ModelStore, policy: Policy) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._store = store
        self._policy = policy
        self._creating: dict[str, asyncio.Task[_ExistingObject | None]] = {}

    async def known(self, ask: Ask) -> Ask:
        """The request, or what it asks otherwise where there is no such model. Raises APIError."""
        if ask.otherwise is None or any(self._deployments.of_model(ask.model)) or await self._store.has(ask.model):
            return ask
        return ask.otherwise

    async def find_or_create(self, ask: Ask, deadline: float, tokens: int = 0) -> ModelDeployment | None:
        """The deployment for a request that takes about so many tokens of context. None: look for one again.

        Raises APIError.
        """
        decision = resolve(ask, self._deployments.all(), ModelLookup(exists=True), self._policy, tokens)
        if isinstance(decision, (Create, Refuse)) or decision.deployment.status.phase is Phase.STALLED:
            # What is created depends on the model's files. While this reads the store, another request may have
            # created the deployment.
            lookup = await self._store.lookup(ask.model)
            decision = resolve(ask, self._deployments.all(), lookup, self._policy, tokens)
        if isinstance(decision, Refuse):
            raise decision.error
        if not isinstance(decision, Create):
            return decision.deployment
        await self.create(decision, deadline)
        return match(ask, self._deployments.of_model(ask.model), tokens)

    async def find(self, ask: Ask) -> ModelDeployment | Create:
        """The live deployment that would answer the request, or the one that would be created. Raises APIError."""
        decision = resolve(ask, self._deployments.all(), await self._store.lookup(ask.model), self._policy)
        if isinstance(decision, Refuse):
            raise decision.error
        return decision if isinstance(decision, Create) else decision.deployment

    async def create(self, create: Create, deadline: float) -> None:
        """Returns when the deployment is in the view, or when the caller is to look for one again.

        `deadline` is this caller's own, on the monotonic clock. Raises APIError.
        """
        task = self._creating.get(create.name)
        if task is None:
            task = asyncio.create_task(self._create(create))
            self._creating[create.name] = task
            task.add_done_callback(lambda done: self._created(create.name, done))
        # Shielded: the client that came first may leave while others wait for the same deployment.
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                found = await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineError(
                f"The cluster has not yet said whether {create.spec.model} can be started.", code="deadline_exceeded"
            ) from None
        if found:
            await self._wait_for_existing(create, found, deadline)

    def _created(self, name: str, task: asyncio.Task[_ExistingObject | None]) -> None:
        del self._creating[name]
        if not task.cancelled():
            task.exception()  # read here, so that asyncio does not log it where nobody waits any more

    async def _create(self, create: Create) -> _ExistingObject | None:
        """Creates the object. Returns the object that has its name already, if there is one. Raises APIError."""
        body: Object = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            **manifest(create),
        }
        try:
            self._deployments.put(await self._cluster.create(MODEL_DEPLOYMENTS, body))
        except AlreadyExistsError:
            return await self._existing(create)
        except ClusterError as error:
            raise _refused(create, error) from error
        _log.info("deployment_created", deployment=create.name, model=create.spec.model)
        return None

    async def _existing(self, create: Create) -> _ExistingObject | None:
        try:
            found = await self._cluster.get(MODEL_DEPLOYMENTS, create.name)
        except NotFoundError:
            return None
        except ClusterError as error:
            raise _refused(create, error) from error
        self._deployments.put(found)
        return _ExistingObject(deleting="deletionTimestamp" in found["metadata"])

    async def _wait_for_existing(self, create: Create, found: _ExistingObject, deadline: float) -> None:
        """Returns when the object of this name is in the view, or is gone.

        Raises APIError where it is a deployment of another configuration.
        """
        if found.deleting:
            await self._until_deleted(create, deadline)
            return
        change = self._deployments.change(create.name)
        existing = self._deployments.get(create.name)
        if existing is None:
            await wait_until(change, min(deadline, time.monotonic() + _SHOWN_SECONDS))
        elif deployment_name(existing.spec) != create.name:
            raise ServiceUnavailableError(
                f"{create.spec.model} cannot be started: its name {create.name} is taken by a deployment with other"
                " settings.",
                code="name_taken",
            )

    async def _until_deleted(self, create: Create, deadline: float) -> None:
        while True:
            change = self._deployments.change(create.name)
            existing = self._deployments.get(create.name)
            if existing is None or not existing.deleting:
                return
            if not await wait_until(change, deadline):
                raise DeadlineError(
                    f"{create.spec.model} waits for its predecessor {create.name} to be deleted.",
                    code="deadline_exceeded",
                )


def _refused(create: Create, error: ClusterError) -> APIError:
    """The error of a request whose deployment the cluster refuses."""
    model = create.spec.model
    if isinstance(error, InvalidError):
        return InvalidRequestError(f"{model} cannot be started: {error}", code="invalid_value")
    if isinstance(error, ForbiddenError):
        return ServiceUnavailableError(
            f"The cluster does not let {model} be started: {error}", code="cluster_forbids", retry_after=60
        )
    return ServiceUnavailableError(f"{model} cannot be started now: {error}", code="cluster_unavailable")
