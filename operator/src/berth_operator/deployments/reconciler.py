"""Observe, plan, apply: for one deployment at a time, by one worker each, however often it is woken.

Nothing is remembered between two rounds that the cluster does not know, but what engines answer; and that is found out
again.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from berth_api.model_deployment import NAME_LENGTH, ModelDeployment, Phase
from berth_cluster.cluster import (
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
    ObjectList,
    Preconditions,
)
from berth_operator.actions import CreatePod, DeleteDeployment, DeletePod, Observed, Plan, WriteStatus
from berth_operator.deployments.budget import MemoryGate
from berth_operator.deployments.parts import owned_by
from berth_operator.deployments.plan import make_plan, not_made, pod_name_taken, pod_refused
from berth_operator.deployments.readiness import Prober
from berth_operator.deployments.reading import Reader, Unreadable, told_as_unreadable
from berth_operator.resources import make_event
from berth_operator.settings import OperatorSettings
from berth_operator.status_patch import status_patch
from berth_operator.watching import EngineWatch
from berth_operator.workers import Workers

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Keeps every deployment as it should be. `wake` is all that others call."""

    def __init__(
        self,
        cluster: Cluster,
        prober: Prober,
        settings: OperatorSettings,
        clock: Callable[[], datetime] = _utc_now,
        gate: MemoryGate | None = None,
    ) -> None:
        """`gate`: admits pods within a budget of memory; None where a scheduler does that."""
        self._gate = gate
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._reader = Reader("deployment", ModelDeployment.parse)
        self._workers = Workers("deployment", self._reconcile, self._forget)
        self._engines = EngineWatch(prober, settings.timing, self._workers.wake, clock)
        self._gate_watch: asyncio.Task[None] | None = None

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Something about this deployment may have changed: look at it, now or right after the present look.

        `seen`: the object whose change was seen, so that what was written here is told from what others do.
        """
        self._workers.wake(name, seen)
        if self._gate is None or self._workers.closed:
            return
        if self._gate_watch is None:
            self._gate_watch = asyncio.create_task(self._gate.watch(self._workers.wake), name="watch the memory gate")
        if name not in self._gate.waiting or (seen and seen.get("kind") == PODS.kind):
            self._wake_those_waiting()

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        await self._workers.close()
        await self._engines.close()
        if self._gate_watch:
            self._gate_watch.cancel()
            await asyncio.gather(self._gate_watch, return_exceptions=True)

    async def _reconcile(self, name: str) -> float | None:
        """One round. Seconds until the next is due; None where the deployment is gone."""
        try:
            observed = await self._observe(name)
        except NotFoundError:
            return None
        if observed is None:
            return self._settings.timing.resync
        plan = make_plan(observed, self._settings, self._clock())
        if self._gate:
            plan = await self._gate.admitted(plan, observed, self._clock())
        await self._apply(plan, observed.deployment)
        self._engines.keep(name, plan.engine)
        if plan.wake_at is None:
            return self._settings.timing.resync
        return max(0.0, min((plan.wake_at - self._clock()).total_seconds(), self._settings.timing.resync))

    async def _observe(self, name: str) -> Observed | None:
        """What is so; None, and that is told, where the deployment cannot be understood."""
        manifest, listed = await asyncio.gather(self._cluster.get(MODEL_DEPLOYMENTS, name), self._pods(name))
        self._workers.read(name, [manifest, *listed.items])
        deployment = self._reader.read(manifest)
        if isinstance(deployment, Unreadable):
            await self._tell_unreadable(manifest, deployment)
            return None
        pods = [pod for pod in listed.items if owned_by(pod, deployment.uid)]
        return Observed(deployment, pods, self._engines.sight(name))

    async def _pods(self, name: str) -> ObjectList:
        if len(name) > NAME_LENGTH:  # no label, so that no pod has it, and the API server refuses the question
            return ObjectList([], "")
        return await self._cluster.list(PODS, {LABEL_DEPLOYMENT: name})

    async def _apply(self, plan: Plan, deployment: ModelDeployment) -> None:
        """Carries the plan out. Its status is written once at most: what turns out after that is the next round's."""
        for at, action in enumerate(plan.actions):
            match action:
                case CreatePod(manifest):
                    refused = await self._create(manifest, deployment)
                    if refused and WriteStatus() not in plan.actions[:at]:
                        await self._apply(not_made(plan) if plan.about else refused, deployment)
                        return
                case DeletePod(name, uid, grace_seconds):
                    await self._delete(name, uid, grace_seconds)
                    self._workers.deleted(deployment.name, uid)
                case WriteStatus():
                    await self._write_status(plan, deployment)
                case DeleteDeployment(preconditions):
                    _log.info("deleting_idle_deployment", deployment=deployment.name, model=deployment.spec.model)
                    await self._cluster.delete(MODEL_DEPLOYMENTS, deployment.name, preconditions)

    async def _create(self, manifest: Object, deployment: ModelDeployment) -> Plan | None:
        """Creates the pod; what follows where it cannot be."""
        name: str = manifest["metadata"]["name"]
        try:
            await self._workers.write(deployment.name, self._cluster.create(PODS, manifest))
        except AlreadyExistsError as error:
            try:
                found = await self._cluster.get(PODS, name)
            except NotFoundError:
                raise ConflictError(f"the pod {name} has gone since") from error
            if owned_by(found, deployment.uid):
                return None  # made by a round that did not live to see it
            _log.warning("pod_name_taken", deployment=deployment.name, pod=name)
            return pod_name_taken(deployment, manifest, self._settings, self._clock())
        except (ForbiddenError, InvalidError) as error:
            return pod_refused(deployment, manifest, str(error), self._settings, self._clock())
        return None

    async def _delete(self, name: str, uid: str, grace_seconds: int | None) -> None:
        try:
            await self._cluster.delete(PODS, name, Preconditions(uid), grace_seconds)
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
            _log.info(
                event["reason"], deployment=deployment.name, model=deployment.spec.model, message=event["message"]
            )
            await self._tell(event)

    async def _tell_unreadable(self, manifest: Object, why: Unreadable) -> None:
        patch = told_as_unreadable(manifest, why, {"phase": Phase.STALLED.value}, self._clock())
        if patch:
            name, metadata = manifest["metadata"]["name"], manifest["metadata"]
            as_read = Preconditions(metadata["uid"], metadata["resourceVersion"])
            with suppress(InvalidError):  # nor does the API server understand it; the log has told of it
                await self._workers.write(name, self._cluster.patch_status(MODEL_DEPLOYMENTS, name, patch, as_read))

    async def _tell(self, event: Object) -> None:
        """Writes an event. It is for people alone: nothing depends on it, so its failure is only logged."""
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            _log.warning("event_not_written", reason=event["reason"], error=str(error))

    def _wake_those_waiting(self) -> None:
        for name in self._gate.waiting if self._gate else ():
            self._workers.wake(name)

    def _forget(self, name: str) -> None:
        self._reader.forget(name)
        self._engines.forget(name)
        if self._gate:
            self._gate.forget(name)
            self._wake_those_waiting()
