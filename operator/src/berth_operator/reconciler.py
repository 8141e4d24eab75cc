"""Observe, plan, apply: for one deployment at a time, by one worker each, however often it is woken.

Nothing is remembered between two rounds that the cluster does not know, but which engine has been heard; and that is found out again.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from berth_api.cluster import (
    EVENTS,
    LABEL_DEPLOYMENT,
    MODEL_DEPLOYMENTS,
    PODS,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_api.model_deployment import ModelDeployment, Phase
from berth_operator.budget import MemoryGate
from berth_operator.plan import CreatePod, DeleteDeployment, DeletePod, Observed, Plan, WriteStatus, make_plan, pod_refused
from berth_operator.readiness import EngineProber
from berth_operator.resources import make_event
from berth_operator.settings import Settings
from berth_operator.status_patch import status_patch
from berth_operator.workers import Workers

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Keeps every deployment as it should be. `wake` is all that others call."""

    def __init__(
        self,
        cluster: Cluster,
        prober: EngineProber,
        settings: Settings,
        clock: Callable[[], datetime] = _utc_now,
        gate: MemoryGate | None = None,
    ) -> None:
        """`gate`: admits pods within a budget of memory; None where a scheduler does that."""
        self._gate = gate
        self._cluster = cluster
        self._prober = prober
        self._settings = settings
        self._clock = clock
        self._workers = Workers("deployment", self._reconcile, self._forget)
        self._probes: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._answering: dict[str, str] = {}

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Something about this deployment may have changed: look at it, now or right after the present look.

        `seen`: the object whose change was seen, so that what was written here is told from what others do.
        """
        self._workers.wake(name, seen)
        for other in self._gate.waiting if self._gate else ():
            self._workers.wake(other)

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        await self._workers.close()
        tasks = [task for _, task in self._probes.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reconcile(self, name: str) -> float | None:
        """One round. Seconds until the next is due; None where the deployment is gone."""
        try:
            observed = await self._observe(name)
        except NotFoundError:
            return None
        plan = make_plan(observed, self._settings, self._clock())
        if self._gate:
            plan = await self._gate.admitted(plan, observed, self._clock())
        await self._apply(plan, observed.deployment)
        self._probe(name, plan, observed)
        if plan.wake_at is None:
            return self._settings.timing.resync
        return max(0.0, min((plan.wake_at - self._clock()).total_seconds(), self._settings.timing.resync))

    async def _observe(self, name: str) -> Observed:
        manifest, listed = await asyncio.gather(
            self._cluster.get(MODEL_DEPLOYMENTS, name), self._cluster.list(PODS, {LABEL_DEPLOYMENT: name})
        )
        deployment = ModelDeployment.parse(manifest)
        pods = [pod for pod in listed.items if _owned_by(pod, deployment.uid)]
        return Observed(deployment, pods, await self._answering_pod(deployment, pods))

    async def _answering_pod(self, deployment: ModelDeployment, pods: list[Object]) -> str | None:
        """The pod whose engine was heard. What the status says is believed only after the engine was asked again once."""
        heard = self._answering.get(deployment.name)
        current = next((pod for pod in pods if pod["metadata"]["name"] == deployment.status.pod_name), None)
        if heard is None and current and deployment.status.phase is Phase.READY and deployment.name not in self._probes:
            plan = make_plan(Observed(deployment, pods, None), self._settings, self._clock())
            if plan.probe and await self._prober.answers(plan.probe):
                heard = self._answering[deployment.name] = current["metadata"]["uid"]
        return heard

    async def _apply(self, plan: Plan, deployment: ModelDeployment) -> None:
        for action in plan.actions:
            match action:
                case CreatePod(manifest):
                    try:
                        await self._workers.write(deployment.name, self._cluster.create(PODS, manifest))
                    except AlreadyExistsError:
                        pass  # made by a round that did not live to see it
                    except (ForbiddenError, InvalidError) as error:
                        refused = pod_refused(deployment, "PodRefused", str(error), self._settings, self._clock())
                        await self._apply(refused, deployment)
                        return
                case DeletePod(name, uid):
                    await self._delete(name, uid)
                case WriteStatus():
                    await self._write_status(plan, deployment)
                case DeleteDeployment(preconditions):
                    _log.info("deleting_idle_deployment", deployment=deployment.name, model=deployment.spec.model)
                    await self._cluster.delete(MODEL_DEPLOYMENTS, deployment.name, preconditions)

    async def _delete(self, name: str, uid: str) -> None:
        try:
            await self._cluster.delete(PODS, name, Preconditions(uid))
        except (NotFoundError, ConflictError):
            return  # gone, or replaced by one of another uid

    async def _write_status(self, plan: Plan, deployment: ModelDeployment) -> None:
        patch = status_patch(deployment.status, plan.status, plan.forget)
        if not patch:
            return
        as_read = Preconditions(deployment.uid, deployment.resource_version)
        write = self._cluster.patch_status(MODEL_DEPLOYMENTS, deployment.name, patch, as_read)
        await self._workers.write(deployment.name, write)
        event = make_event(deployment, plan.status, self._clock())
        if event:
            _log.info(event["reason"], deployment=deployment.name, model=deployment.spec.model, message=event["message"])
            await self._tell(event)

    async def _tell(self, event: Object) -> None:
        """Writes an event. It is for people alone: nothing depends on it, so its failure is only logged."""
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            _log.warning("event_not_written", reason=event["reason"], error=str(error))

    def _probe(self, name: str, plan: Plan, observed: Observed) -> None:
        """Has the engine asked that the plan wants asked, and no other."""
        url, task = self._probes.get(name, (None, None))
        if url == plan.probe:
            return
        if task:
            task.cancel()
            del self._probes[name]
        if plan.probe:
            uid = next(pod["metadata"]["uid"] for pod in observed.pods if pod["metadata"]["name"] == plan.status.pod_name)
            self._probes[name] = (plan.probe, asyncio.create_task(self._hear(name, plan.probe, uid), name=f"probe {name}"))

    async def _hear(self, name: str, url: str, uid: str) -> None:
        await self._prober.wait_until_answers(url)
        self._answering[name] = uid
        self.wake(name)

    def _forget(self, name: str) -> None:
        if self._gate:
            self._gate.forget(name)
        self._answering.pop(name, None)
        _, task = self._probes.pop(name, (None, None))
        if task:
            task.cancel()


def _owned_by(pod: Object, uid: str) -> bool:
    owners: list[Any] = pod["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == uid for owner in owners)
