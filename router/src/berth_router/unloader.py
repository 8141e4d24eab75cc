"""Takes models out on request, after the requests in hand have ended.

What a router made is deleted. What a person declared stays, asleep: the operator is told that it is idle from now on.
"""

import asyncio
from collections.abc import Sequence

import structlog

from berth_api.cluster import MODEL_DEPLOYMENTS, Cluster, ClusterError, ConflictError, NotFoundError, Preconditions
from berth_api.model_deployment import IdleAction, ModelDeployment
from berth_router.activity import Activity
from berth_router.deployments import Deployments
from berth_router.errors import UnavailableError

_log = structlog.get_logger(__name__)

DRAIN_SECONDS = 30.0
"""How long answers that are being made get to end before a model is unloaded all the same."""


class Unloader:
    """Deletes deployments, or puts them to sleep."""

    def __init__(self, cluster: Cluster, deployments: Deployments, activity: Activity) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._activity = activity

    async def unload(self, deployments: Sequence[ModelDeployment], drain_seconds: float = DRAIN_SECONDS) -> None:
        """Returns when all deployments are deleted or told to sleep. Raises UnavailableError where the cluster does not let it."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._unload(deployment, drain_seconds)) for deployment in deployments]
        for error in (task.result() for task in tasks):
            if error:
                raise UnavailableError(f"The cluster did not let a deployment be unloaded: {error}", code="cluster_unavailable")

    async def _unload(self, deployment: ModelDeployment, drain_seconds: float) -> ClusterError | None:
        """Unloads one; the error where that failed."""
        self._deployments.close(deployment)
        try:
            if not await self._activity.drained(deployment.uid, drain_seconds):
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
            self._deployments.reopen(deployment)
            return error
        except asyncio.CancelledError:
            self._deployments.reopen(deployment)
            raise
        self._deployments.forget(deployment)
        _log.info("deployment_unloaded", deployment=deployment.name, model=deployment.spec.model)
        return None
