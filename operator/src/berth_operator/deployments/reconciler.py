"""Observe, plan, apply: for one deployment at a time, by one worker each, however often it is woken.

Between two rounds the reconciler remembers nothing that the cluster does not have, but the answers of engines; and it
can ask those again. It observes in the watched view. What takes something away is decided again on a fresh read first:
an engine, or a deployment, never ends because a watch lags behind.
"""

import asyncio

import structlog

from berth_api.model_deployment import ModelDeployment, Phase
from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    PODS,
    NotFoundError,
    Object,
)
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.changes import ChangeFilter
from berth_operator.deployments.engine_watch import EngineWatch
from berth_operator.deployments.memory_gate import MemoryGate
from berth_operator.deployments.plan import make_plan, pod_name_taken, pod_refused, without_pod
from berth_operator.deployments.readiness import Prober
from berth_operator.deployments.view import Change, DeploymentView, Look
from berth_operator.objects.parts import owned_by
from berth_operator.reconciling.reading import ObjectReader, Unreadable
from berth_operator.reconciling.workers import Workers, seconds_until
from berth_operator.reconciling.writer import DeleteResource, NameTaken, Refused, ResourceWriter, WriteStatus
from berth_operator.resources import make_event
from berth_operator.settings import OperatorSettings
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)

_RESTING = 10
"""Resync periods between two rounds of a deployment that has no pod and waits for no moment. Ten thousand of them would
otherwise take a fifth of a processor."""


class DeploymentReconciler:
    """Keeps every deployment as it should be. The view wakes it; others call `close` at the end."""

    def __init__(
        self,
        view: DeploymentView,
        prober: Prober,
        settings: OperatorSettings,
        clock: Clock = utc_now,
        gate: MemoryGate | None = None,
    ) -> None:
        """`gate`: admits pods within a budget of memory; None where a scheduler does that."""
        self._view = view
        self._settings = settings
        self._clock = clock
        self._gate = gate
        self._gate_watch: asyncio.Task[None] | None = None
        self._reader = ObjectReader("deployment", ModelDeployment.parse)
        self._workers = Workers("deployment", self._reconcile, self._forget)
        self._writer = ResourceWriter(view.cluster, MODEL_DEPLOYMENTS, self._workers)
        self._engines = EngineWatch(prober, settings.timing, self._workers.wake, clock)
        self._changes = ChangeFilter()
        view.listen(self._changed)

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the deployment reconciled, because something of it may have changed. `seen`: as for `Workers.wake`."""
        self._workers.wake(name, seen)
        if self._gate is None or self._workers.closed:
            return
        if self._gate_watch is None:
            self._gate_watch = asyncio.create_task(self._gate.watch(self._workers.wake), name="watch the memory gate")
        if name not in self._gate.waiting or (seen and seen.get("kind") == PODS.kind):
            self._wake_waiting()

    def _changed(self, change: Change) -> None:
        """Wakes the deployment, unless only a lease of it was renewed."""
        of_deployment = change.item["kind"] == MODEL_DEPLOYMENTS.kind
        if not of_deployment or self._changes.must_reconcile(change.item, gone=change.gone):
            self.wake(change.deployment, change.item)

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
            return await self._round(name)
        except BaseException:
            self._view.doubt(name)
            raise

    async def _round(self, name: str) -> float | None:
        try:
            look = await self._view.look(name)
            observed = await self._observed(look)
            plan = make_plan(observed, self._settings, self._clock()) if observed else None
            if plan and plan.takes_away and not look.fresh:
                observed = await self._observed(await self._view.look(name, fresh=True))
                plan = make_plan(observed, self._settings, self._clock()) if observed else None
        except NotFoundError:
            return None
        if observed is None or plan is None:
            return self._settings.timing.resync
        if self._gate:
            plan = await self._gate.admit(plan, observed, self._clock())
        await self._apply(plan, observed.deployment)
        self._engines.probe(name, plan.probe)
        resync = self._settings.timing.resync * (1 if observed.pods or plan.wake_at else _RESTING)
        return seconds_until(plan.wake_at, self._clock(), resync)

    async def _observed(self, look: Look) -> ObservedDeployment | None:
        """What the look shows. None where the deployment cannot be understood: then its status says so."""
        self._workers.read(look.deployment["metadata"]["name"], [look.deployment, *look.pods])
        deployment = self._reader.read(look.deployment)
        if isinstance(deployment, Unreadable):
            stalled = {"phase": Phase.STALLED.value}
            await self._writer.report_unreadable(look.deployment, deployment, stalled, self._clock())
            return None
        pods = [pod for pod in look.pods if owned_by(pod, deployment.uid)]
        return ObservedDeployment(deployment, pods, self._engines.history(deployment.name))

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
        self._view.forget(name)
        self._reader.forget(name)
        self._engines.forget(name)
        if self._gate:
            self._gate.forget(name)
            self._wake_waiting()
