"""Puts models that nobody uses out, to make room for another: where one router serves alone and runs beside whoever decides that.

Among several replicas it takes news from all of them to know that a model is idle (`unloader`); here it is known at
once.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from berth_api.budget import Usage
from berth_api.model_deployment import IdleAction, ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, ConflictError, NotFoundError, Preconditions
from berth_router.lifecycle.deployments import Deployments, is_ready
from berth_router.lifecycle.lease_keeper import DeploymentGoneError, Leases

_log = structlog.get_logger(__name__)

_ASLEEP_SECONDS = 5.0
"""Longest wait for the operator to put a deployment to sleep that was told to."""


class Evictor:
    """Meets what `berth_operator.deployments.memory_gate` expects of one.

    `monotonic` is the clock of its waits, in seconds.
    """

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

    def usage(self, deployment: ModelDeployment) -> Usage:
        """The usage of the deployment at this moment."""
        return Usage(self._leases.in_flight(deployment.uid), self._leases.last_activity(deployment.uid))

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        """Keeps new requests for the deployment queued until `unmark_evicting`, or until it is gone."""
        self._deployments.hold(deployment)

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        """Undoes `mark_evicting`."""
        self._deployments.release(deployment)

    async def evict(self, deployment: ModelDeployment) -> bool:
        """Has an idle deployment give its memory back: False where it has a request in hand. Raises ClusterError.

        Nothing is awaited between the look at its requests and the hold: none comes in between, and those that come
        wait until it is gone.
        """
        if self._leases.in_flight(deployment.uid):
            return False
        self._deployments.hold(deployment)
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
            self._deployments.release(deployment)
        _log.info("put_out_for_room", deployment=deployment.name, model=deployment.spec.model)
        return True

    async def _asleep(self, deployment: ModelDeployment) -> None:
        """Returns when the operator has taken the engine away: a request that came sooner would be cut with it."""
        deadline = self._monotonic() + _ASLEEP_SECONDS
        while (left := deadline - self._monotonic()) > 0:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid or not is_ready(now):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await change.wait()
