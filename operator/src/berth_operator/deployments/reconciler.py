"""Observe, plan, apply: for one deployment at a time, by one worker each, however often it is woken.

Between two rounds the reconciler remembers nothing that the cluster does not have, but the answers of engines; and it
can ask those again. It observes in the watched view. What takes something away is decided again on a fresh read first:
an engine, or a deployment, never ends because a watch lags behind.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus, Phase
from berth_api.room.forecast import Forecast, Outcome
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import (
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    PODS,
    ROUTER,
    SECRETS,
    AlreadyExistsError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
)
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.admission import RoomAdmission
from berth_operator.deployments.changes import ChangeFilter
from berth_operator.deployments.engine_watch import EngineWatch
from berth_operator.deployments.plan import make_plan, pod_name_taken, pod_refused, refusal, without_pod
from berth_operator.deployments.pod_maker import pod_maker
from berth_operator.deployments.readiness import Prober
from berth_operator.deployments.view import Change, DeploymentView, Look
from berth_operator.objects.parts import owned_by
from berth_operator.objects.pod_failure import Cause, may_be_the_models
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_operator.reconciling.reading import ObjectReader, Unreadable
from berth_operator.reconciling.workers import Workers, seconds_until
from berth_operator.reconciling.writer import DeleteResource, NameTaken, Refused, ResourceWriter, WriteStatus
from berth_operator.resources import make_event
from berth_operator.resources.engine_key import make_key_secret
from berth_operator.resources.pod import MANAGER
from berth_operator.room.estimates import Estimate, Preflight
from berth_operator.room.keeper import RoomKeeper
from berth_operator.room.places import Places
from berth_operator.settings import OperatorSettings
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)

_RESTING = 10
"""Resync periods between two rounds of a deployment that has no pod and waits for no moment. Ten thousand of them would
otherwise take a fifth of a processor."""


FaultOf = Callable[[ModelDeploymentSpec], Awaitable[str | None]]
"""Returns why no engine could load the deployment's model. None: nothing is known against it."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where models can stand, and how they make room for each other."""

    places: Places
    rules: RoomSettings
    estimate: Estimate | None = None
    """What a deployment will take. None: what its pod asks for counts."""
    preflight: Preflight | None = None
    """What can never fit, whatever leaves. None: nobody knows before it starts."""


class DeploymentReconciler:
    """Keeps every deployment as it should be. The view wakes it; others call `close` at the end."""

    def __init__(
        self,
        view: DeploymentView,
        prober: Prober,
        settings: OperatorSettings,
        clock: Clock = utc_now,
        room: Room | None = None,
        metrics: ReconcileMetrics | None = None,
        fault_of: FaultOf | None = None,
    ) -> None:
        """`room`: where models can stand, and how they make room for each other; None: every pod is made at once.

        `fault_of` is asked of a model whose engine has ended; None: the engine's last lines say what there is to say.
        """
        self._view = view
        self._settings = settings
        self._fault_of = fault_of
        self._clock = clock
        self._reader = ObjectReader("deployment", ModelDeployment.parse)
        self._workers = Workers("deployment", self._reconcile, self._forget, metrics)
        self._writer = ResourceWriter(view.cluster, MODEL_DEPLOYMENTS, self._workers)
        self._engines = EngineWatch(prober, settings.timing, self._workers.wake, clock)
        self._changes = ChangeFilter()
        self._admission = self._admission_to(room) if room else None
        self._deciding: asyncio.Task[None] | None = None
        view.listen(self._changed)

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the deployment reconciled, because something of it may have changed. `seen`: as for `Workers.wake`."""
        self._workers.wake(name, seen)

    def _admission_to(self, room: Room) -> RoomAdmission:
        keeper = RoomKeeper(room.places, room.rules, self._clock, self._workers.wake)
        return RoomAdmission(keeper, room.places, room.estimate, room.preflight)

    def _changed(self, change: Change) -> None:
        """Wakes the deployment, unless only a lease of it was renewed. The keeper of room sees every change."""
        of_deployment = change.item["kind"] == MODEL_DEPLOYMENTS.kind
        if self._admission:
            self._tell(self._admission.keeper, change, of_deployment=of_deployment)
        if not of_deployment or self._changes.must_reconcile(change.item, gone=change.gone):
            self.wake(change.deployment, change.item)

    def _tell(self, keeper: RoomKeeper, change: Change, *, of_deployment: bool) -> None:
        if self._deciding is None and not self._workers.closed:
            self._deciding = asyncio.create_task(keeper.run(), name="decide about room")
        name = change.item["metadata"]["name"]
        if of_deployment and change.gone:
            keeper.lose_deployment(name)
        elif of_deployment:
            deployment = self._reader.read(change.item)
            if not isinstance(deployment, Unreadable):
                keeper.see_deployment(deployment, declared=_is_declared(deployment))
        elif change.gone:
            keeper.lose_pod(name)
        else:
            keeper.see_pod(change.item)

    async def close(self) -> None:
        """Cancels all work, wherever it is. The next operator goes on from what the cluster has."""
        await self._workers.close()
        await self._engines.close()
        if self._deciding:
            self._deciding.cancel()
            await asyncio.gather(self._deciding, return_exceptions=True)

    async def forecast(self, name: str, spec: ModelDeploymentSpec) -> Forecast:
        """What would happen if the deployment of this name and spec were asked for now. Nothing changes."""
        now = self._clock()
        deployment = ModelDeployment(
            name=name,
            namespace="",
            uid=name,
            resource_version="0",
            generation=1,
            created_at=now,
            deleting=False,
            labels={},
            spec=spec,
            status=ModelDeploymentStatus(),
        )
        maker = pod_maker(deployment, self._settings)
        if isinstance(maker, Cause):
            return Forecast(Outcome.CANNOT_START, maker.message)
        if self._admission is None:
            return Forecast(Outcome.FITS, "nothing is counted here")
        return await self._admission.forecast(deployment, maker.pod(deployment))

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
        plan = await self._judged(plan, observed)
        if self._admission:
            plan = await self._admission.admit(plan, observed, self._clock())
        await self._apply(plan, observed.deployment)
        self._engines.probe(name, plan.probe)
        resync = self._settings.timing.resync * (1 if observed.pods or plan.wake_at else _RESTING)
        return seconds_until(plan.wake_at, self._clock(), resync)

    async def _judged(self, plan: DeploymentPlan, observed: ObservedDeployment) -> DeploymentPlan:
        """The plan; or where there could be no next pod, one that leaves the engine that runs."""
        if plan.replacement is None:
            return plan
        refused = await self._why_not(plan.replacement, observed.deployment)
        return make_plan(observed, self._settings, self._clock(), refused) if refused else plan

    async def _why_not(self, pod: Object, deployment: ModelDeployment) -> Cause | None:
        """Why there could be no such pod. None: nothing is known against it."""
        if self._admission:
            foreseen = await self._admission.foresee(deployment, pod)
            if isinstance(foreseen, Cause):
                return foreseen
            pod = foreseen
        refused = await self._writer.judge(PODS, pod)
        return refusal(refused.message) if refused else None

    async def _observed(self, look: Look) -> ObservedDeployment | None:
        """What the look shows. None where the deployment cannot be understood: then its status says so."""
        self._workers.read(look.deployment["metadata"]["name"], [look.deployment, *look.pods])
        deployment = self._reader.read(look.deployment)
        if isinstance(deployment, Unreadable):
            stalled = {"phase": Phase.STALLED.value}
            await self._writer.report_unreadable(look.deployment, deployment, stalled, self._clock())
            return None
        pods = [pod for pod in look.pods if owned_by(pod, deployment.uid)]
        order = None
        if self._admission:
            self._admission.keeper.see_deployment(deployment, declared=_is_declared(deployment))
            order = self._admission.keeper.order(deployment.name)
        fault = None
        if self._fault_of and any(map(may_be_the_models, pods)):
            fault = await self._fault_of(deployment.spec)
        return ObservedDeployment(deployment, pods, self._engines.history(deployment.name), order, fault)

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
        refused = await self._hand_out_key(deployment)
        match refused or await self._writer.create(PODS, manifest, deployment):
            case None:
                return None
            case NameTaken():
                _log.warning("pod_name_taken", deployment=deployment.name, pod=manifest["metadata"]["name"])
                return pod_name_taken(deployment, manifest, self._settings, self._clock())
            case Refused(message):
                return pod_refused(deployment, manifest, message, self._settings, self._clock())

    async def _hand_out_key(self, deployment: ModelDeployment) -> Refused | None:
        """Makes the Secret with the engine's key, before a pod takes it from there. Refused: there can be none."""
        keyring = self._settings.engine_keys.keyring
        if keyring is None:
            return None
        try:
            await self._view.cluster.create(SECRETS, make_key_secret(deployment, keyring, MANAGER))
        except AlreadyExistsError:
            return None  # from an earlier start: its name says which key it has
        except (ForbiddenError, InvalidError) as error:
            return Refused(str(error))
        return None

    async def _write_status(self, plan: DeploymentPlan, deployment: ModelDeployment) -> None:
        if not await self._writer.write_status(deployment, plan.status, plan.forget):
            return
        event = make_event(deployment, plan.status, self._clock())
        if event:
            _log.info(
                event["reason"], deployment=deployment.name, model=deployment.spec.model, message=event["message"]
            )
            await self._writer.publish(event)

    def _forget(self, name: str) -> None:
        self._view.forget(name)
        self._reader.forget(name)
        self._engines.forget(name)
        if self._admission:
            self._admission.keeper.lose_deployment(name)


def _is_declared(deployment: ModelDeployment) -> bool:
    """Whether a person has made it, and no router."""
    return deployment.labels.get(LABEL_MANAGED_BY) != ROUTER
