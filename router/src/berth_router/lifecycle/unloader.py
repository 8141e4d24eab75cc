"""Takes models out on request, after the requests in hand have ended, whichever replica has them.

While a model is unloaded, every replica refuses new requests for it with a 503 that says so and when to try again: a new request must not
keep it from ending, and must not be cut by its end. Once it is gone, a request starts it anew.

What a router made is deleted. What a person declared stays, asleep: the operator is told that it is idle from now on.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from berth_api.cluster import MODEL_DEPLOYMENTS, Cluster, ClusterError, ConflictError, NotFoundError, Preconditions
from berth_api.model_deployment import IdleAction, ModelDeployment
from berth_router.errors import UnavailableError
from berth_router.lifecycle.activity import Activity
from berth_router.lifecycle.deployments import Deployments

_log = structlog.get_logger(__name__)

DRAIN_SECONDS = 30.0
"""How long answers that are being made get to end before a model is unloaded all the same."""

_WRITE_SECONDS = 0.5
"""What a write and the watch that shows it to others may take."""

_NEWS_SECONDS = 2 * _WRITE_SECONDS
"""After this, every replica has heard that the deployment takes no new requests, and has told of those that it has in hand."""


class Unloader:
    """Deletes deployments, or puts them to sleep."""

    def __init__(self, cluster: Cluster, deployments: Deployments, activity: Activity) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._activity = activity

    async def unload(self, deployments: Sequence[ModelDeployment]) -> None:
        """Returns when all deployments are deleted or told to sleep. Raises UnavailableError where the cluster does not let it."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._unload(deployment, DRAIN_SECONDS)) for deployment in deployments]
        for error in (task.result() for task in tasks):
            if error:
                raise UnavailableError(f"The cluster did not let a deployment be unloaded: {error}", code="cluster_unavailable")

    async def _unload(self, deployment: ModelDeployment, drain_seconds: float) -> ClusterError | None:
        """Unloads one; the error where that failed."""
        self._deployments.close(deployment)
        try:
            await self._activity.close_to_requests(deployment, drain_seconds + _NEWS_SECONDS)
            if not await self._drained(deployment, drain_seconds):
                _log.warning("unloaded_while_in_use", deployment=deployment.name)
            if deployment.spec.idle.action is IdleAction.SLEEP:
                await self._activity.unload(deployment)
                self._deployments.reopen(deployment)
                return None
            # By uid alone: what routers write to the status must not keep a model that someone wants gone.
            await self._cluster.delete(MODEL_DEPLOYMENTS, deployment.name, Preconditions(deployment.uid))
        except (NotFoundError, ConflictError):
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
        """Whether the deployment's requests have all ended, in every replica, within so many seconds."""
        started = time.monotonic()
        news_by = started + _NEWS_SECONDS
        deadline = max(started + within, news_by)
        if not await self._activity.drained(deployment.uid, within):
            return False
        while True:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid:
                return True
            busy = self._activity.in_flight_elsewhere(now) > 0
            moment = time.monotonic()
            if moment >= (deadline if busy else news_by):
                return not busy
            with suppress(TimeoutError):
                await asyncio.wait_for(change.wait(), (deadline if busy else news_by) - moment)

    async def _reopen(self, deployment: ModelDeployment) -> None:
        self._deployments.reopen(deployment)
        with suppress(ClusterError):  # the mark ends by itself
            await self._activity.open_to_requests(deployment)
