"""Takes models out on request, after the requests in hand have ended, whichever replica has them.

While a model is unloaded, every replica refuses new requests for it with a 503 that says so and when to try again: a
new request must not keep it from ending, and must not be cut by its end. Once it is gone, a request starts it anew.

What a router made is deleted. What a person declared stays, asleep: the operator is told that it is idle from now on.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from berth_api.activity import CLOCK_SKEW
from berth_api.model_deployment import IdleAction, ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, ClusterError, ConflictError, NotFoundError, Preconditions
from berth_router.errors import ServiceUnavailableError
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import DeploymentGoneError, Leases

_log = structlog.get_logger(__name__)

DRAIN_SECONDS = 30.0
"""How long answers that are being made get to end before a model is unloaded all the same."""

_CLOSED_BESIDES_SECONDS = 30.0 + CLOCK_SKEW.total_seconds()
"""How much longer a model is closed to requests than answers get: two more writes, each of which a cluster may take 15 s
for, and clocks that differ. Should this router not live to open it again, it opens by itself."""


class Unloader:
    """Deletes deployments, or puts them to sleep. `monotonic` is the clock of its waits, in seconds."""

    def __init__(
        self,
        cluster: Cluster,
        deployments: Deployments,
        leases: Leases,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._leases = leases
        self._monotonic = monotonic

    async def unload(self, deployments: Sequence[ModelDeployment]) -> None:
        """Returns when all deployments are deleted or told to sleep.

        Raises ServiceUnavailableError where the cluster does not let it.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._unload(deployment, DRAIN_SECONDS)) for deployment in deployments]
        for error in (task.result() for task in tasks):
            if error:
                raise ServiceUnavailableError(
                    f"The cluster did not let a deployment be unloaded: {error}", code="cluster_unavailable"
                )

    async def _unload(self, deployment: ModelDeployment, drain_seconds: float) -> ClusterError | None:
        """Unloads one; the error where that failed."""
        self._deployments.close(deployment)
        try:
            await self._leases.close_to_requests(deployment, drain_seconds + _CLOSED_BESIDES_SECONDS)
            if not await self._drained(deployment, drain_seconds):
                _log.warning("unloaded_while_in_use", deployment=deployment.name)
            if deployment.spec.idle.action is IdleAction.SLEEP:
                await self._leases.unload(deployment)
                self._deployments.reopen(deployment)
                return None
            # By uid alone: what routers write to the status must not keep a model that someone wants gone.
            await self._cluster.delete(MODEL_DEPLOYMENTS, deployment.name, Preconditions(deployment.uid))
        except (NotFoundError, ConflictError, DeploymentGoneError):
            pass
        except ClusterError as error:
            await self._reopen(deployment)
            return error
        except asyncio.CancelledError:
            self._deployments.reopen(deployment)
            raise
        self._deployments.forget(deployment)
        _log.info("deployment_unloaded", deployment=deployment.name, model=deployment.spec.model)
        return None

    async def _drained(self, deployment: ModelDeployment, within: float) -> bool:
        """Whether within so many seconds this replica's requests have ended, and all leases of others are given back or over.

        No lease can come after those that are seen now, but one that is given back without a request.
        """
        deadline = self._monotonic() + within
        if not await self._leases.drained(deployment.uid, within):
            return False
        while True:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid:
                return True
            left = self._leases.seconds_elsewhere(now)
            if not left:
                # The view may be behind: a lease that seems over may have been renewed.
                left = self._leases.seconds_elsewhere(await self._as_stored(now))
            if not left:
                return True
            wait = min(left, deadline - self._monotonic())
            if wait <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await change.wait()

    async def _as_stored(self, deployment: ModelDeployment) -> ModelDeployment:
        """The deployment as the cluster has it at this moment. Raises ClusterError."""
        found = await self._cluster.get(MODEL_DEPLOYMENTS, deployment.name)
        self._deployments.put(found)
        return ModelDeployment.parse(found)

    async def _reopen(self, deployment: ModelDeployment) -> None:
        self._deployments.reopen(deployment)
        with suppress(ClusterError, DeploymentGoneError):  # the mark ends by itself
            await self._leases.open_to_requests(deployment)
