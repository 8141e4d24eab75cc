"""Unloads models on request, after the requests in hand have ended, whichever replica has them.

While a model is unloaded, every replica refuses new requests for it with a 503, which says so and when to try again: a
new request must not delay the end, and must not be cut by it. After that, a request starts the model anew.

A deployment that a router made is deleted. One that a person declared falls asleep: `unloadAt` makes it idle.
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
from berth_router.lifecycle.resolve import matches
from berth_router.request.ask import Ask

_log = structlog.get_logger(__name__)

DRAIN_SECONDS = 30.0
"""How long answers under way get to end. After that the model is unloaded all the same."""

_CLOSED_BESIDES_SECONDS = 30.0 + CLOCK_SKEW.total_seconds()
"""A model stays closed this much longer than answers get: for two writes of up to 15 s, and for clocks that differ.

If this router crashes before it opens the model again, the model opens by itself.
"""


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
        """Returns when all deployments are deleted, or have their `unloadAt`.

        Raises ServiceUnavailableError where the cluster refuses.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._unload(deployment, DRAIN_SECONDS)) for deployment in deployments]
        for error in (task.result() for task in tasks):
            if error:
                raise _not_unloaded(error)

    async def unload_unused(self, ask: Ask) -> None:
        """Unloads the deployments that meet the request and have no request in hand, as far as routers have reported.

        Raises ServiceUnavailableError where the cluster refuses.
        """
        await self.unload(
            [
                one
                for one in matches(ask, self._deployments.of_model(ask.model))
                if not self._leases.in_flight(one.uid) and not self._leases.in_flight_elsewhere(one)
            ]
        )

    async def end_promises(self, ask: Ask, *, of_used: bool) -> None:
        """Ends what requests so far have promised for the deployments that meet the request.

        The operator removes each of them when no lease protects it any more: no answer is cut, and no request is
        refused. `of_used`: also where this router has requests in hand. Raises ServiceUnavailableError.
        """
        for deployment in matches(ask, self._deployments.of_model(ask.model)):
            used = self._leases.in_flight(deployment.uid) > 0
            if self._deployments.is_closed(deployment) or (used and not of_used):
                continue
            try:
                await self._leases.unload(deployment)
            except DeploymentGoneError:
                pass
            except ClusterError as error:
                raise _not_unloaded(error) from error

    async def _unload(self, deployment: ModelDeployment, drain_seconds: float) -> ClusterError | None:
        """Unloads one. Returns the error, if it failed."""
        self._deployments.close(deployment)
        try:
            await self._leases.close_to_requests(deployment, drain_seconds + _CLOSED_BESIDES_SECONDS)
            if not await self._drained(deployment, drain_seconds):
                _log.warning("unloaded_while_in_use", deployment=deployment.name)
            if deployment.spec.idle.action is IdleAction.SLEEP:
                await self._leases.unload(deployment)
                self._deployments.reopen(deployment)
                return None
            # By uid alone: what routers write to the status must not stop the deletion of a model that is unloaded.
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
        """Waits until this replica's requests and all leases of others have ended. False: not `within` so many seconds.

        A lease that is written later than those seen now is released again without a request.
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
                # The view may be late: a lease that seems to have ended may have been renewed.
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
        with suppress(ClusterError, DeploymentGoneError):  # `closedUntil` ends by itself
            await self._leases.open_to_requests(deployment)


def _not_unloaded(error: ClusterError) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"The cluster did not let a deployment be unloaded: {error}", code="cluster_unavailable"
    )
