"""What to do about one deployment: a pure function of what was observed."""

from dataclasses import replace
from datetime import datetime, timedelta

from berth_api.activity import forgotten_entries, last_activity
from berth_api.conditions import merge_conditions
from berth_api.model_deployment import ModelDeployment, QueuePlace
from berth_cluster.cluster import Object
from berth_operator.deployments import attempts, serving
from berth_operator.deployments import status as states
from berth_operator.deployments.actions import (
    CreatePod,
    DeletePod,
    DeploymentAction,
    DeploymentPlan,
    ObservedDeployment,
)
from berth_operator.deployments.attempts import Situation
from berth_operator.deployments.idle import failed_until, idle_since, is_asleep
from berth_operator.deployments.outdated import with_outdated
from berth_operator.deployments.pod_maker import POD_REFUSED, PodMaker, pod_maker
from berth_operator.deployments.start_steps import (
    deadline_exceeded,
    has_been_ready,
    released_at,
    steps_done,
    was_held_back,
)
from berth_operator.objects.parts import gone_by
from berth_operator.objects.pod_failure import Cause, disruption, pod_failure, with_fault
from berth_operator.objects.pods import gates_of, unschedulable_since
from berth_operator.reconciling.writer import DeleteResource, WriteStatus
from berth_operator.resources.made_from import digest
from berth_operator.resources.pod import HUNG_GRACE_SECONDS
from berth_operator.settings import OperatorSettings

_AFTER_A_DISRUPTION = timedelta(seconds=60)
"""How long the next pod may find no node after a disruption: a drain goes on to the node's other pods, and a new node
needs about so long to join."""


def make_plan(
    observed: ObservedDeployment, settings: OperatorSettings, now: datetime, refused: Cause | None = None
) -> DeploymentPlan:
    """Decides. Raises nothing: a fault becomes part of the status.

    `refused`: why there could be no next pod, where that was asked.
    """
    deployment = observed.deployment
    if deployment.deleting:
        return DeploymentPlan([], deployment.status)
    pod, leftovers = attempts.sort_pods(observed, settings)
    maker = refused or pod_maker(deployment, settings)
    situation = Situation(deployment, maker, settings, now)
    if pod is None:
        plan = _plan_without_pod(situation)
    elif (cause := disruption(pod)) and idle_since(deployment, now) is not None:
        plan = serving.unload(deployment, pod, settings, answers=True)
    elif cause:
        plan = attempts.disrupted(situation, pod, cause)
    else:
        plan = _plan_with_pod(situation, observed, pod)
    return _complete(plan, deployment, leftovers, now)


def refusal(message: str) -> Cause:
    """That the API server refuses a pod."""
    return Cause(POD_REFUSED, f"the pod was refused: {message}", ended=True)


def pod_refused(
    deployment: ModelDeployment, manifest: Object, message: str, settings: OperatorSettings, now: datetime
) -> DeploymentPlan:
    """The plan to follow when the API server refuses the pod."""
    return _not_created(deployment, manifest, refusal(message), settings, now)


def pod_name_taken(
    deployment: ModelDeployment, manifest: Object, settings: OperatorSettings, now: datetime
) -> DeploymentPlan:
    """The plan to follow when somebody else's pod has the name of the pod."""
    name = manifest["metadata"]["name"]
    message = f"there is a pod {name} that is not this deployment's: another name is tried"
    return _not_created(deployment, manifest, Cause("PodNameTaken", message, ended=True), settings, now)


def without_pod(plan: DeploymentPlan) -> DeploymentPlan:
    """The rest of a plan whose pod was not created: first its status must say that the attempt before is over."""
    actions: list[DeploymentAction] = [action for action in plan.actions if not isinstance(action, CreatePod)]
    return replace(plan, actions=actions, status=plan.status.model_copy(update={"pod_name": None, "start_steps": []}))


def blocked(plan: DeploymentPlan, deployment: ModelDeployment, cause: Cause, now: datetime) -> DeploymentPlan:
    """The plan to follow instead of one whose pod must not be created: the deployment is stalled for this cause."""
    instead = attempts.blocked(plan.next_attempt or deployment, None, cause, now)
    return _complete(replace(instead, next_attempt=plan.next_attempt), deployment, _deletions(plan), now)


def waiting_for_room(
    plan: DeploymentPlan,
    deployment: ModelDeployment,
    message: str,
    look_again: datetime | None,
    now: datetime,
    queue: QueuePlace | None = None,
) -> DeploymentPlan:
    """The plan to follow instead of one whose pod finds no room yet. `queue`: its place; None: nobody waits for it."""
    expiry = failed_until(deployment) if queue is None else None
    if expiry is not None and expiry <= now:
        return _complete(attempts.delete_deployment(deployment, _deletions(plan)), deployment, [], now)
    status = states.waiting_for_room(plan.next_attempt or deployment, message, queue)
    instead = DeploymentPlan(
        [WriteStatus()], status, wake_at=attempts.earliest(look_again, expiry), next_attempt=plan.next_attempt
    )
    return _complete(instead, deployment, _deletions(plan), now)


def withdrawn(deployment: ModelDeployment, pod: Object, message: str, now: datetime) -> DeploymentPlan:
    """The plan to follow where nobody waits any more for a pod that has found no node: it is deleted."""
    status = states.waiting_for_room(deployment, message, None)
    deletion = DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"], HUNG_GRACE_SECONDS)
    return _complete(DeploymentPlan([WriteStatus(), deletion], status), deployment, [], now)


def queued(plan: DeploymentPlan, queue: QueuePlace, message: str) -> DeploymentPlan:
    """The plan of a deployment whose pod finds no node, with its place among those that wait and what they wait for."""
    return replace(plan, status=states.with_queue(plan.status, queue, message))


def _plan_without_pod(situation: Situation) -> DeploymentPlan:
    deployment, maker, now = situation.deployment, situation.maker, situation.now
    if isinstance(maker, Cause):  # also where it would sleep: no request could wake it
        return attempts.blocked(deployment, None, maker, now)
    if is_asleep(deployment, now):
        failure = attempts.failed_start(deployment, maker)
        return DeploymentPlan([WriteStatus()], states.sleeping(deployment, failure))
    return attempts.start(situation, maker)


def _plan_with_pod(situation: Situation, observed: ObservedDeployment, pod: Object) -> DeploymentPlan:
    """There is a pod: it has failed, is blocked, is starting, or serves."""
    situation = _released(situation, pod)
    deployment, settings, now = situation.deployment, situation.settings, situation.now
    held = bool(gates_of(pod))
    grace = _unschedulable_grace(deployment, observed, pod, settings)
    cause = pod_failure(pod, now, grace)
    if cause and cause.ended:
        fault = None if _was_ready(deployment, pod) else observed.fault  # an engine that was ready had loaded the files
        return attempts.failed(situation, pod, with_fault(cause, fault))
    probes = serving.probes_of(observed, pod)
    if _was_ready(deployment, pod) or (probes and probes.answered_at):
        return serving.serve(situation, pod, probes, observed.eviction)
    deadline_seconds = settings.timing.start_deadline
    deadline = (deployment.status.start_requested_at or now) + timedelta(seconds=deadline_seconds)
    if deadline <= now and not held:
        return attempts.failed(situation, pod, deadline_exceeded(deployment, deadline_seconds, cause))
    changed = serving.changed_since(situation, pod)
    if (cause or held) and changed and isinstance(situation.maker, PodMaker):
        return attempts.rolled(situation, pod, changed, HUNG_GRACE_SECONDS)
    if cause:
        return replace(attempts.blocked(deployment, pod, cause, now, deadline), outdated=changed)
    no_node_since = unschedulable_since(pod)
    return DeploymentPlan(
        [WriteStatus()],
        states.starting(deployment, now, pod, steps_done(deployment, pod, now)),
        probe=serving.probe_target(deployment, pod),
        wake_at=None if held else attempts.earliest(deadline, no_node_since + grace if no_node_since else None),
        outdated=changed,
    )


def _released(situation: Situation, pod: Object) -> Situation:
    """Where the scheduler was kept from the pod and is no longer, the start counts from now.

    How long it was kept from it is nobody's failure, and a new pod would have to wait in the same queue from its end.
    """
    if gates_of(pod) or not was_held_back(situation.deployment):
        return situation
    return replace(situation, deployment=states.with_status(situation.deployment, start_requested_at=situation.now))


def _unschedulable_grace(
    deployment: ModelDeployment, observed: ObservedDeployment, pod: Object, settings: OperatorSettings
) -> timedelta:
    """How long the pod may find no node. It is longer after a disruption, which frees the room again."""
    grace = timedelta(seconds=settings.timing.unschedulable_grace)
    since = unschedulable_since(pod)
    if since is None:
        return grace
    # Kubernetes goes on counting where the scheduler was kept from it before.
    grace += max(since, released_at(deployment) or since) - since
    if not states.disruption_before(deployment):
        return grace
    ends = [end for other in observed.pods if other is not pod and (end := gone_by(other))]
    return max(grace, max([since, *ends]) - since + _AFTER_A_DISRUPTION)


def _was_ready(deployment: ModelDeployment, pod: Object) -> bool:
    """Whether the pod's engine has been ready."""
    return deployment.status.pod_name in (None, pod["metadata"]["name"]) and has_been_ready(deployment)


def _not_created(
    deployment: ModelDeployment, manifest: Object, cause: Cause, settings: OperatorSettings, now: datetime
) -> DeploymentPlan:
    """The attempt is over before it had a pod. The next one waits, and its pod has another name."""
    plan = attempts.failed(Situation(deployment, cause, settings, now), None, cause, digest(manifest))
    return _complete(plan, deployment, [], now)


def _deletions(plan: DeploymentPlan) -> list[DeletePod]:
    return [action for action in plan.actions if isinstance(action, DeletePod)]


def _complete(
    plan: DeploymentPlan, deployment: ModelDeployment, leftovers: list[DeletePod], now: datetime
) -> DeploymentPlan:
    """Adds what every status has, and the deletions of pods that are left over in any case."""
    created = {action.manifest["metadata"]["name"] for action in plan.actions if isinstance(action, CreatePod)}
    # A round that was killed before it wrote the status has created that pod already.
    leftovers = [each for each in leftovers if each.name not in created]
    if any(isinstance(action, DeleteResource) for action in plan.actions):
        return replace(plan, actions=[*plan.actions, *leftovers])
    stated = with_outdated(plan.status.conditions, plan.outdated, deployment)
    status = plan.status.model_copy(
        update={
            "observed_generation": deployment.generation,
            "conditions": merge_conditions(deployment.status.conditions, stated, now),
            "last_activity": last_activity(deployment),
        }
    )
    return replace(plan, actions=[*plan.actions, *leftovers], status=status, forget=forgotten_entries(deployment, now))
