"""What to do about one deployment: a pure function of what was observed."""

from dataclasses import replace
from datetime import datetime, timedelta

from berth_api.activity import forgotten_entries, last_activity
from berth_api.conditions import Condition, ConditionType, merge_conditions
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import Object
from berth_operator.actions import (
    Action,
    CreatePod,
    DeleteDeployment,
    DeletePod,
    Engine,
    Observed,
    Plan,
    WriteStatus,
)
from berth_operator.deployments import attempts, serving
from berth_operator.deployments import status as states
from berth_operator.deployments.attempts import Maker
from berth_operator.deployments.failure import PodFailure, disruption, pod_failure, unschedulable_since
from berth_operator.deployments.idle import idle_since, is_asleep
from berth_operator.deployments.made_from import digest
from berth_operator.deployments.parts import gone_by
from berth_operator.resources.pod import HUNG_GRACE_SECONDS
from berth_operator.settings import OperatorSettings

__all__ = [
    "Action",
    "CreatePod",
    "DeleteDeployment",
    "DeletePod",
    "Engine",
    "Observed",
    "Plan",
    "WriteStatus",
    "held_up",
    "make_plan",
    "not_made",
    "pod_name_taken",
    "pod_refused",
    "waiting",
]

_ABOUT_THE_ENGINE = (ConditionType.READY, ConditionType.POD_SCHEDULED, ConditionType.ENGINE_STARTED)
"""Conditions that speak of the engine that runs, and so of the spec that it was made from."""

_AFTER_A_DISRUPTION = timedelta(seconds=60)
"""How long the successor of a pod that somebody took away may find no node: a drain goes on to the next pod, and a
node that takes its place needs about so long to come."""


def make_plan(observed: Observed, settings: OperatorSettings, now: datetime) -> Plan:
    """Decides. Raises nothing; what is wrong becomes part of the status."""
    deployment = observed.deployment
    if deployment.deleting:
        return Plan([], deployment.status)
    current, leftovers = attempts.sort_pods(observed, settings)
    maker = attempts.maker_for(deployment, settings)
    if current is None:
        plan = _without_pod(deployment, maker, settings, now)
    elif (taken := disruption(current)) and idle_since(deployment, now) is not None:
        plan = serving.put_away(deployment, current, settings, answers=True)
    elif taken:
        plan = attempts.disrupted(deployment, current, taken, maker, settings, now)
    else:
        plan = _judge(observed, current, maker, settings, now)
    return _complete(plan, deployment, leftovers, now)


def pod_refused(
    deployment: ModelDeployment, manifest: Object, message: str, settings: OperatorSettings, now: datetime
) -> Plan:
    """What follows when the API server does not let the pod be created."""
    failure = PodFailure("PodRefused", f"the pod was refused: {message}", ended=True)
    return _not_created(deployment, manifest, failure, settings, now)


def pod_name_taken(deployment: ModelDeployment, manifest: Object, settings: OperatorSettings, now: datetime) -> Plan:
    """What follows when the pod's name is that of somebody else's pod."""
    return _not_created(deployment, manifest, states.pod_name_taken(manifest), settings, now)


def not_made(plan: Plan) -> Plan:
    """What is left of a plan whose pod was refused: that the attempt before is over is to be told first, and why."""
    actions: list[Action] = [action for action in plan.actions if not isinstance(action, CreatePod)]
    return replace(plan, actions=actions, status=plan.status.model_copy(update={"pod_name": None, "start_steps": []}))


def held_up(plan: Plan, deployment: ModelDeployment, failure: PodFailure, now: datetime) -> Plan:
    """What follows instead of a plan's pod that must not be made: it is told, and nobody waits for what cannot be."""
    instead = attempts.held_up(plan.about or deployment, None, failure, now)
    return _complete(replace(instead, about=plan.about), deployment, _deletions(plan), now)


def waiting(plan: Plan, deployment: ModelDeployment, message: str, look_again: datetime, now: datetime) -> Plan:
    """What follows instead of a plan's pod where there is no memory for it yet."""
    status = states.waiting_for_memory(plan.about or deployment, message)
    return _complete(
        Plan([WriteStatus()], status, wake_at=look_again, about=plan.about), deployment, _deletions(plan), now
    )


def _without_pod(
    deployment: ModelDeployment, maker: Maker | PodFailure, settings: OperatorSettings, now: datetime
) -> Plan:
    if is_asleep(deployment, now):
        return Plan([WriteStatus()], states.sleeping(deployment))
    if isinstance(maker, PodFailure):
        return attempts.held_up(deployment, None, maker, now)
    return attempts.start(deployment, maker, settings, now)


def _judge(
    observed: Observed, pod: Object, maker: Maker | PodFailure, settings: OperatorSettings, now: datetime
) -> Plan:
    """There is a pod: it has failed, is held up, is starting, or serves."""
    deployment, timing = observed.deployment, settings.timing
    grace = _unschedulable_grace(observed, pod, settings)
    failure = pod_failure(pod, now, grace)
    if failure and failure.ended:
        return attempts.failed(deployment, pod, failure, maker, settings, now)
    sight = serving.sight_of(observed, pod)
    if _was_ready(deployment, pod) or (sight and sight.answered_at):
        return serving.serve(observed, pod, maker, settings, now)
    deadline = (deployment.status.start_requested_at or now) + timedelta(seconds=timing.start_deadline)
    if deadline <= now:
        return attempts.failed(
            deployment, pod, states.deadline_exceeded(deployment, settings, failure), maker, settings, now
        )
    changed = serving.changed_since(pod, maker, deployment)
    if failure and changed and isinstance(maker, Maker):
        return attempts.rolled(deployment, pod, changed, maker, now, HUNG_GRACE_SECONDS)
    if failure:
        return replace(attempts.held_up(deployment, pod, failure, now, deadline), outdated=changed)
    nowhere_since = unschedulable_since(pod)
    return Plan(
        [WriteStatus()],
        states.starting(deployment, now, pod, states.start_steps(deployment, pod, now)),
        engine=serving.engine_of(deployment, pod),
        wake_at=attempts.earliest(deadline, nowhere_since + grace if nowhere_since else None),
        outdated=changed,
    )


def _unschedulable_grace(observed: Observed, pod: Object, settings: OperatorSettings) -> timedelta:
    """How long the pod may find no node. Where somebody took its predecessor away, the room comes back by itself."""
    grace = timedelta(seconds=settings.timing.unschedulable_grace)
    since = unschedulable_since(pod)
    if since is None or not states.disruption_before(observed.deployment):
        return grace
    ends = [end for other in observed.pods if other is not pod and (end := gone_by(other))]
    return max(grace, max([since, *ends]) - since + _AFTER_A_DISRUPTION)


def _was_ready(deployment: ModelDeployment, pod: Object) -> bool:
    """Whether the pod's engine has been ready."""
    is_its = deployment.status.pod_name in (None, pod["metadata"]["name"])
    return is_its and any(step.name == states.ENGINE_READY for step in deployment.status.start_steps)


def _not_created(
    deployment: ModelDeployment, manifest: Object, failure: PodFailure, settings: OperatorSettings, now: datetime
) -> Plan:
    """The attempt is over before it had a pod: the next one waits, and has a pod of another name."""
    return _complete(
        attempts.failed(deployment, None, failure, failure, settings, now, digest(manifest)), deployment, [], now
    )


def _deletions(plan: Plan) -> list[DeletePod]:
    return [action for action in plan.actions if isinstance(action, DeletePod)]


def _complete(plan: Plan, deployment: ModelDeployment, leftovers: list[DeletePod], now: datetime) -> Plan:
    """Adds what every status has, and what is to be cleaned up in any case."""
    made = {action.manifest["metadata"]["name"] for action in plan.actions if isinstance(action, CreatePod)}
    leftovers = [each for each in leftovers if each.name not in made]  # made by a round that did not live to write so
    if any(isinstance(action, DeleteDeployment) for action in plan.actions):
        return replace(plan, actions=[*plan.actions, *leftovers])
    status = plan.status.model_copy(
        update={
            "observed_generation": deployment.generation,
            "conditions": merge_conditions(deployment.status.conditions, _stated(plan, deployment), now),
            "last_activity": last_activity(deployment),
        }
    )
    return replace(plan, actions=[*plan.actions, *leftovers], status=status, forget=forgotten_entries(deployment, now))


def _stated(plan: Plan, deployment: ModelDeployment) -> list[Condition]:
    """The plan's conditions: what is said of an engine that runs is said of the spec that it was made from."""
    conditions = plan.status.conditions
    if plan.outdated and plan.outdated.generation is not None:
        made_from = {"observed_generation": plan.outdated.generation}
        conditions = [
            each.model_copy(update=made_from) if each.type in _ABOUT_THE_ENGINE else each for each in conditions
        ]
    return [*conditions, states.up_to_date(deployment, plan.outdated)]
