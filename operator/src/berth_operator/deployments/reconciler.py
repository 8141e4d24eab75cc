"""Observe, plan, apply: for one deployment at a time, by one worker each, however often it is woken.

Between two rounds the reconciler remembers nothing that the cluster does not have, but the answers of engines; and it
can ask those again.
"""

import asyncio

import structlog

from berth_api.model_deployment import NAME_LENGTH, ModelDeployment, Phase
from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    MODEL_DEPLOYMENTS,
    PODS,
    Cluster,
    NotFoundError,
    Object,
    ObjectList,
)
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.engine_watch import EngineWatch
from berth_operator.deployments.memory_gate import MemoryGate
from berth_operator.deployments.plan import make_plan, pod_name_taken, pod_refused, without_pod
from berth_operator.deployments.readiness import Prober
from berth_operator.objects.parts import owned_by
from berth_operator.reconciling.reading import ObjectReader, Unreadable
from berth_operator.reconciling.workers import Workers, seconds_until
from berth_operator.reconciling.writer import DeleteResource, NameTaken, Refused, ResourceWriter, WriteStatus
from berth_operator.resources import make_event
from berth_operator.settings import OperatorSettings
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)


class DeploymentReconciler:
    """Keeps every deployment as it should be. Others call `wake`, and `close` at the end."""

    def __init__(
        self,
        cluster: Cluster,
        prober: Prober,
        settings: OperatorSettings,
        clock: Clock = utc_now,
        gate: MemoryGate | None = None,
    ) -> None:
        """`gate`: admits pods within a budget of memory; None where a scheduler does that."""
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._gate = gate
        self._gate_watch: asyncio.Task[None] | None = None
        self._reader = ObjectReader("deployment", ModelDeployment.parse)
        self._workers = Workers("deployment", self._reconcile, self._forget)
        self._writer = ResourceWriter(cluster, MODEL_DEPLOYMENTS, self._workers)
        self._engines = EngineWatch(prober, settings.timing, self._workers.wake, clock)

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the deployment reconciled, because something of it may have changed. `seen`: as for `Workers.wake`."""
        self._workers.wake(name, seen)
        if self._gate is None or self._workers.closed:
            return
        if self._gate_watch is None:
            self._gate_watch = asyncio.create_task(self._gate.watch(self._workers.wake), name="watch the memory gate")
        if name not in self._gate.waiting or (seen and seen.get("kind") == PODS.kind):
            self._wake_waiting()

    async def close(self) -> None:
        """Cancels all work, wherever it is. The next operator goes on from what the cluster has."""
        await self._workers.close()
        await self._engines.close()
        if self._gate_watch:
            self._gate_watch.cancel()
            await asyncio.gather(self._gate_watch, return_exceptions=True)

    async def _reconcile(self, name: str) -> float | None:
        """One round. Seconds until the next one is due; None where the deployment is gone."""
        try:
            observed = await self._observe(name)
        except NotFoundError:
            return None
        if observed is None:
            return self._settings.timing.resync
        plan = make_plan(observed, self._settings, self._clock())
        if self._gate:
            plan = await self._gate.admit(plan, observed, self._clock())
        await self._apply(plan, observed.deployment)
        self._engines.probe(name, plan.probe)
        return seconds_until(plan.wake_at, self._clock(), self._settings.timing.resync)

    async def _observe(self, name: str) -> ObservedDeployment | None:
        """The deployment as it is now. None where it cannot be understood: then its status says so."""
        manifest, listed = await asyncio.gather(self._cluster.get(MODEL_DEPLOYMENTS, name), self._pods(name))
        self._workers.read(name, [manifest, *listed.items])
        deployment = self._reader.read(manifest)
        if isinstance(deployment, Unreadable):
            stalled = {"phase": Phase.STALLED.value}
            await self._writer.report_unreadable(manifest, deployment, stalled, self._clock())
            return None
        pods = [pod for pod in listed.items if owned_by(pod, deployment.uid)]
        return ObservedDeployment(deployment, pods, self._engines.history(name))

    async def _pods(self, name: str) -> ObjectList:
        if len(name) > NAME_LENGTH:  # the name cannot be a label: no pod has it, and the API server refuses the list
            return ObjectList([], "")
        return await self._cluster.list(PODS, {LABEL_DEPLOYMENT: name})

    async def _apply(self, plan: DeploymentPlan, deployment: ModelDeployment) -> None:
        """Carries the plan out. It writes the status once at most: what happens after that is for the next round."""
        for at, action in enumerate(plan.actions):
            match action:
                case CreatePod(manifest):
                    instead = await self._create(manifest, deployment)
                    if instead and WriteStatus() not in plan.actions[:at]:
                        await self._apply(without_pod(plan) if plan.next_attempt else instead, deployment)
                        return
                case DeletePod(name, uid, grace_seconds):
                    await self._writer.delete(PODS, name, uid, grace_seconds)
                    self._workers.deleted(deployment.name, uid)
                case WriteStatus():
                    await self._write_status(plan, deployment)
                case DeleteResource():
                    _log.info("deleting_idle_deployment", deployment=deployment.name, model=deployment.spec.model)
                    await self._writer.delete_resource(deployment.name, action)

    async def _create(self, manifest: Object, deployment: ModelDeployment) -> DeploymentPlan | None:
        """Creates the pod. The plan to follow instead where it cannot be created; None where it exists now."""
        match await self._writer.create(PODS, manifest, deployment):
            case None:
                return None
            case NameTaken():
                _log.warning("pod_name_taken", deployment=deployment.name, pod=manifest["metadata"]["name"])
                return pod_name_taken(deployment, manifest, self._settings, self._clock())
            case Refused(message):
                return pod_refused(deployment, manifest, message, self._settings, self._clock())

    async def _write_status(self, plan: DeploymentPlan, deployment: ModelDeployment) -> None:
        if not await self._writer.write_status(deployment, plan.status, plan.forget):
            return
        event = make_event(deployment, plan.status, self._clock())
        if event:
            _log.info(
                event["reason"], deployment=deployment.name, model=deployment.spec.model, message=event["message"]
            )
            await self._writer.publish(event)

    def _wake_waiting(self) -> None:
        """Wakes the deployments that wait for memory."""
        for name in self._gate.waiting if self._gate else ():
            self._workers.wake(name)

    def _forget(self, name: str) -> None:
        self._reader.forget(name)
        self._engines.forget(name)
        if self._gate:
            self._gate.forget(name)
            self._wake_waiting()
