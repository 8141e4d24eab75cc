"""What the decision about room means for a plan: its pod is made, or waits, or can never be made, or is withdrawn."""

from dataclasses import replace
from datetime import datetime, timedelta

from berth_api.conditions import UNSCHEDULABLE
from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec, QueuePlace
from berth_api.room.actions import KeepWaiting, RefuseModel, StartModel, WithdrawPod
from berth_api.room.forecast import Forecast, Outcome
from berth_cluster.cluster import Object
from berth_operator.deployments.actions import CreatePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.plan import blocked, queued, waiting_for_room, withdrawn
from berth_operator.deployments.pod_maker import NEVER_FITS
from berth_operator.deployments.status import sized
from berth_operator.objects.parts import is_deleting
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import gates_of, has_ended, has_node
from berth_operator.room.estimates import Estimate, Preflight
from berth_operator.room.keeper import RoomKeeper
from berth_operator.room.places import Places

_LOOK_AGAIN = timedelta(seconds=1)
"""When a deployment that waits is looked at again, if nothing wakes it."""

_STEADY_SECONDS = 5.0
"""An expected moment stays as it was written, if the new one is no more than this away, or than half of what is left,
or than half of the time that it has waited: what is put off again and again is not written each time."""

_NOBODY_WAITS = "nobody waits for it any more; the next request asks for room again"
_BEING_SCHEDULED = "Scheduling"


class RoomAdmission:
    """Puts each plan to the keeper of room.

    `estimate`: what a deployment will take; None: its pod says it. `preflight`: what can never fit.
    """

    def __init__(
        self,
        keeper: RoomKeeper,
        places: Places,
        estimate: Estimate | None = None,
        preflight: Preflight | None = None,
    ) -> None:
        self.keeper = keeper
        self._places = places
        self._estimate = estimate
        self._preflight = preflight

    async def admit(self, plan: DeploymentPlan, observed: ObservedDeployment, now: datetime) -> DeploymentPlan:
        """The plan, or what to do instead of making its pod now. Raises what the estimate raises."""
        deployment = observed.deployment
        created = next((action for action in plan.actions if isinstance(action, CreatePod)), None)
        if created is None:
            self.keeper.drop(deployment.name)
            return self._of_pending(plan, observed, now)
        spec, pod = deployment.spec, created.manifest
        if never := await self._never(spec, pod):
            self.keeper.drop(deployment.name)
            return blocked(plan, deployment, Cause(NEVER_FITS, never, ended=False), now)
        shapes = await self._shapes(spec, pod)
        if not shapes:
            self.keeper.drop(deployment.name)
            return plan
        match self.keeper.want(deployment, shapes[0], tuple(map(self._places.holds, shapes))):
            case StartModel(_, shape, node):
                made = self._places.placed(shapes[shape], node)
                actions = [CreatePod(made) if action is created else action for action in plan.actions]
                return replace(plan, actions=actions, status=sized(plan.status, made))
            case RefuseModel() as verdict:  # it stays wanted: without the demand the verdict would go, which is news
                return blocked(plan, deployment, _never_fits(verdict), now)
            case KeepWaiting() as verdict:
                queue = self._queue(deployment, verdict, now)
                return waiting_for_room(plan, deployment, _told(verdict, queue), now + _LOOK_AGAIN, now, queue)
            case _:
                return waiting_for_room(plan, deployment, _NOBODY_WAITS, None, now)

    async def foresee(self, deployment: ModelDeployment, pod: Object) -> Object | Cause:
        """The pod with what it would request, if there is room; or why there can never be. Nothing changes.

        Raises what the estimate raises.
        """
        if never := await self._never(deployment.spec, pod):
            return Cause(NEVER_FITS, never, ended=False)
        shapes = await self._shapes(deployment.spec, pod)
        if not shapes:
            return pod
        needs = tuple(map(self._places.holds, shapes))
        refused = self.keeper.refusal(deployment.name, shapes[0], needs, deployment.spec.priority or 0)
        return _never_fits(refused) if refused else shapes[0]

    async def forecast(self, deployment: ModelDeployment, pod: Object) -> Forecast:
        """What would happen if this deployment, which has no pod, were asked for now. `pod`: the one that it would get.

        Raises what the estimate raises.
        """
        if never := await self._never(deployment.spec, pod):
            return Forecast(Outcome.NEVER_FITS, never)
        shapes = await self._shapes(deployment.spec, pod)
        if not shapes:
            return Forecast(Outcome.FITS, "nothing of what it needs is counted")
        needs = tuple(map(self._places.holds, shapes))
        return self.keeper.forecast(deployment.name, shapes[0], needs, deployment.spec.priority or 0)

    async def _never(self, spec: ModelDeploymentSpec, pod: Object) -> str | None:
        return await self._preflight(spec, pod) if self._preflight else None

    async def _shapes(self, spec: ModelDeploymentSpec, pod: Object) -> tuple[Object, ...]:
        return self._places.shapes(spec, pod, await self._estimate(spec) if self._estimate else None)

    def _of_pending(self, plan: DeploymentPlan, observed: ObservedDeployment, now: datetime) -> DeploymentPlan:
        """The plan of a deployment whose pod may have found no node."""
        deployment = observed.deployment
        pod = next((each for each in observed.pods if _is_pending(each)), None)
        if pod is None:
            return plan
        match self.keeper.verdict(deployment.name):
            case WithdrawPod():
                return withdrawn(deployment, pod, _NOBODY_WAITS, now)
            case KeepWaiting() as verdict if self._is_for_room(verdict) and not gates_of(pod):
                queue = self._queue(deployment, verdict, now)
                return queued(plan, queue, _told(verdict, queue))
            case _:
                return plan

    def _is_for_room(self, verdict: KeepWaiting) -> bool:
        """Whether it waits for room: not for the scheduler's word, nor for labels that no node has and no node gets."""
        if verdict.reason == UNSCHEDULABLE:
            return self.keeper.autoscaled
        return verdict.reason != _BEING_SCHEDULED

    def _queue(self, deployment: ModelDeployment, verdict: KeepWaiting, now: datetime) -> QueuePlace:
        stored = deployment.status.queue
        since = self.keeper.since(deployment.name) or now
        expected = None
        if verdict.estimate_seconds is not None:
            expected = now + timedelta(seconds=verdict.estimate_seconds)
            steady = max(_STEADY_SECONDS, verdict.estimate_seconds / 2, (now - since).total_seconds() / 2)
            before = stored.expected_at if stored else None
            if before and abs((before - expected).total_seconds()) <= steady:
                expected = before
        return QueuePlace(place=verdict.place, since=since, expected_at=expected)


def _told(verdict: KeepWaiting, queue: QueuePlace) -> str:
    """What people read of a wait: in the condition, and from there in the comments of a stream."""
    when = f", with room expected at {queue.expected_at:%H:%M:%S} UTC" if queue.expected_at else ""
    return f"place {queue.place} in the queue{when}: {verdict.message}"


def _is_pending(pod: Object) -> bool:
    return not has_node(pod) and not is_deleting(pod) and not has_ended(pod)


def _never_fits(verdict: RefuseModel) -> Cause:
    """The model can never have the room that it needs."""
    return Cause(verdict.reason, f"{verdict.message}; a smaller quantization or contextSize needs less", ended=False)
