"""Evicts idle models, to make room for another. Only where one router serves alone, beside whoever decides that.

With several replicas, only all of them together know that a model is idle: see `unloader`. Here it is known at once.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from berth_api.budget import Use
from berth_api.model_deployment import IdleAction, ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, ConflictError, NotFoundError, Preconditions
from berth_router.lifecycle.deployments import Deployments, is_ready
from berth_router.lifecycle.lease_keeper import DeploymentGoneError, Leases

_log = structlog.get_logger(__name__)

_ASLEEP_SECONDS = 5.0
"""Longest wait for the operator to put a deployment to sleep."""


class Evictor:
    """The Evictor of `berth_operator.deployments.budget`. `monotonic`: the clock of its waits, in seconds."""

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

    def use(self, deployment: ModelDeployment) -> Use:
        """The use of the deployment at this moment."""
        return Use(self._leases.in_flight(deployment.uid), self._leases.last_activity(deployment.uid))

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        """Keeps new requests for the deployment queued until `unmark_evicting`, or until it is gone."""
        self._deployments.mark_evicting(deployment)

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        """Undoes `mark_evicting`."""
        self._deployments.unmark_evicting(deployment)

    async def evict(self, deployment: ModelDeployment) -> bool:
        """Evicts an idle deployment. False: a request uses it. Raises ClusterError.

        Nothing is awaited between the count of its requests and the mark, so no request comes in between. Requests that
        come later are queued until it is gone.
        """
        if self._leases.in_flight(deployment.uid):
            return False
        self._deployments.mark_evicting(deployment)
        try:
            if deployment.spec.idle.action is IdleAction.SLEEP:
                await self._leases.unload(deployment)
                await self._asleep(deployment)
            else:
                await self._cluster.delete(MODEL_DEPLOYMENTS, deployment.name, Preconditions(deployment.uid))
                self._deployments.forget(deployment)
        except (NotFoundError, ConflictError, DeploymentGoneError):
            self._deployments.forget(deployment)
        finally:
            self._deployments.unmark_evicting(deployment)
        _log.info("put_out_for_room", deployment=deployment.name, model=deployment.spec.model)
        return True

    async def _asleep(self, deployment: ModelDeployment) -> None:
        """Returns when the operator has ended the engine: a request that came sooner would be cut with it."""
        deadline = self._monotonic() + _ASLEEP_SECONDS
        while (left := deadline - self._monotonic()) > 0:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid or not is_ready(now):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await change.wait()
