"""How attempts begin and end: pure.

Everything of one start carries the attempt's number, also in the pod's name. The operator ends an attempt by writing
the next number into the status. It creates the next pod just before that write, and deletes the earlier pod just after
it. A pod of any other attempt is deleted whenever it is found. So a crash between two writes loses nothing: the next
round sees the same facts and decides the same.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from berth_api.conditions import POD_DELETED, ConditionType, condition_of
from berth_api.identity import attempt_of
from berth_api.model_deployment import Failure, ModelDeployment, Phase
from berth_cluster.cluster import Object, Preconditions
from berth_operator.deployments import status as states
from berth_operator.deployments.actions import (
    CreatePod,
    DeletePod,
    DeploymentAction,
    DeploymentPlan,
    ObservedDeployment,
)
from berth_operator.deployments.idle import failed_until, is_retried
from berth_operator.deployments.pod_maker import PodMaker
from berth_operator.deployments.start_steps import POD_CREATED, has_been_ready, pod_created
from berth_operator.objects.parts import is_deleting
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import has_ended
from berth_operator.reconciling.writer import DeleteResource, WriteStatus
from berth_operator.resources.made_from import Difference, digest
from berth_operator.resources.pod import HUNG_GRACE_SECONDS
from berth_operator.settings import OperatorSettings
from berth_process.backoff import exponential

IDLE_GRACE_SECONDS = 30
"""What an idle engine gets to end. It has no requests in hand, and little to save."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What every decision about a deployment is made from."""

    deployment: ModelDeployment
    maker: PodMaker | Cause
    """Who makes its pods; or why it can have none."""
    settings: OperatorSettings
    now: datetime


def sort_pods(observed: ObservedDeployment, settings: OperatorSettings) -> tuple[Object | None, list[DeletePod]]:
    """The pod of the present attempt, and the deletions of all other pods that nobody has deleted yet."""
    attempt = observed.deployment.status.attempt
    of_attempt = [pod for pod in observed.pods if attempt_of(pod["metadata"]["name"]) == attempt]
    current = min(of_attempt, key=is_deleting, default=None)
    others = [pod for pod in observed.pods if pod is not current and not is_deleting(pod)]
    return current, [_delete_leftover(pod, observed.deployment, settings) for pod in others]


def start(situation: Situation, maker: PodMaker) -> DeploymentPlan:
    """There is no pod, and one is needed: now, or when the wait after a failure is over."""
    deployment, now = situation.deployment, situation.now
    pod = maker.pod(deployment)
    failure = _failure_of(deployment, pod)
    if failure and failure.retry_at:
        due = failure.retry_at <= now
        at_once = failure.retry_at == failure.at  # it had served: there was no wait, unless for room
        if not due or not (at_once or deployment.status.start_steps or is_retried(deployment, now)):
            expiry = failed_until(deployment)
            if expiry is not None and expiry <= now:
                return delete_deployment(deployment)
            status = states.waiting_to_retry(deployment, failure, due=due)
            return DeploymentPlan([WriteStatus()], status, wake_at=earliest(None if due else failure.retry_at, expiry))
    if deployment.status.start_steps:
        return disrupted(situation, None, Cause(POD_DELETED, "the pod was deleted", ended=True))
    deadline = now + timedelta(seconds=situation.settings.timing.start_deadline)
    status = states.starting(deployment, now, pod, pod_created(now))
    return DeploymentPlan([CreatePod(pod), WriteStatus()], status, wake_at=deadline)


def failed_start(deployment: ModelDeployment, maker: PodMaker) -> Failure | None:
    """Why the last start failed, if the next pod would be the same. None: it did not fail, or its engine had served."""
    before = _recorded_failure(deployment)
    if before is None or before.retry_at == before.at:
        return None
    return _failure_of(deployment, maker.pod(deployment))


def failed(situation: Situation, pod: Object | None, cause: Cause, made_from: str | None = None) -> DeploymentPlan:
    """The attempt has failed: its engine ended, hangs or was too slow; or its pod, of `made_from`, was not created.

    The status is written before the pod is deleted: only the dead pod has the reason, too.
    """
    deployment, now = situation.deployment, situation.now
    before = _recorded_failure(deployment)
    made_from = digest(pod) if pod else made_from
    in_a_row = before.count if before and before.made_from in (None, made_from) else 0
    # An engine that has served is replaced at once, the first time. Any other one waits.
    at_once = has_been_ready(deployment) and in_a_row == 0
    wait = timedelta(0) if at_once else _retry_wait(in_a_row + 1, situation.settings)
    record = Failure(
        reason=cause.reason,
        message=cause.message,
        at=now,
        count=in_a_row + 1,
        retry_at=now + wait,
        made_from=made_from,
    )
    following = _next_attempt(deployment, now, record)
    if wait:
        status = states.waiting_to_retry(following, record, due=False)
        actions: list[DeploymentAction] = [WriteStatus(), *_delete(pod, HUNG_GRACE_SECONDS)]
        return DeploymentPlan(actions, status, wake_at=record.retry_at, next_attempt=following)
    if pod and not has_ended(pod):  # it hangs: without the status another operator would have to find that out again
        return _write_status_first(situation, following, pod, cause, HUNG_GRACE_SECONDS)
    return _create_pod_first(situation, following, pod, cause, HUNG_GRACE_SECONDS)


def disrupted(situation: Situation, pod: Object | None, cause: Cause) -> DeploymentPlan:
    """Somebody took the pod away. That is no failure of the engine: the next pod is created at once.

    But not if the pod had only just been created: somebody who deletes each new pod must not get new ones as fast as
    they can be created.
    """
    deployment, now = situation.deployment, situation.now
    requested = deployment.status.start_requested_at
    created = next((step.at for step in deployment.status.start_steps if step.name == POD_CREATED), requested)
    due = created + timedelta(seconds=situation.settings.timing.first_retry) if created else now
    if due > now:
        return DeploymentPlan([WriteStatus()], states.pod_taken_away(deployment, cause), wake_at=due)
    following = _next_attempt(deployment, now, _recorded_failure(deployment))
    return _create_pod_first(situation, following, pod, cause, None)


def rolled(situation: Situation, pod: Object, changed: Difference, grace: int | None) -> DeploymentPlan:
    """The engine was made from an earlier spec or image, and no request needs it: another engine takes its place.

    The guarded status is written first. That write fails if a router has just taken a lease, and later requests wait
    for the next engine.
    """
    deployment = situation.deployment
    why = Cause(changed.reason, f"changed: {changed.what}; another engine takes its place", ended=True)
    following = _next_attempt(deployment, situation.now, _recorded_failure(deployment))
    return _write_status_first(situation, following, pod, why, grace)


def blocked(
    deployment: ModelDeployment,
    pod: Object | None,
    cause: Cause,
    now: datetime,
    deadline: datetime | None = None,
) -> DeploymentPlan:
    """Something that may go away blocks the start. It is kept until its deadline, or until its TTL is over.

    An earlier attempt's failure stays in the status with its count; the conditions say what holds this one up.
    """
    before = deployment.status.last_failure
    at = before.at if before and before.reason == cause.reason else now
    new = Failure(reason=cause.reason, message=cause.message, at=at, count=1)
    record = _recorded_failure(deployment) or new
    expiry = failed_until(deployment)
    if expiry is not None and expiry <= now:
        return delete_deployment(deployment)
    status = states.blocked(deployment, pod, cause, record, now)
    return DeploymentPlan([WriteStatus()], status, wake_at=earliest(expiry, deadline))


def delete_deployment(deployment: ModelDeployment, pods: list[DeletePod] | None = None) -> DeploymentPlan:
    """Nobody needs the deployment. `pods`: its pods, which would otherwise end with the long grace for answers."""
    preconditions = Preconditions(deployment.uid, deployment.resource_version)
    return DeploymentPlan([DeleteResource(preconditions), *(pods or [])], deployment.status)


def idle_grace(settings: OperatorSettings) -> int:
    """Seconds that an idle engine gets to end."""
    return min(IDLE_GRACE_SECONDS, settings.timing.termination_grace)


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of the moments that there are."""
    return min((moment for moment in moments if moment is not None), default=None)


def _next_attempt(deployment: ModelDeployment, now: datetime, failure: Failure | None) -> ModelDeployment:
    return states.with_status(
        deployment, attempt=deployment.status.attempt + 1, start_steps=[], start_requested_at=now, last_failure=failure
    )


def _recorded_failure(deployment: ModelDeployment) -> Failure | None:
    """The failure of an earlier attempt. What merely holds a start up is not recorded as one."""
    failure = deployment.status.last_failure
    return failure if failure and failure.retry_at else None


def _failure_of(deployment: ModelDeployment, pod: Object) -> Failure | None:
    """The failure of an earlier attempt whose pod was made as this one is."""
    failure = _recorded_failure(deployment)
    return failure if failure and failure.made_from in (None, digest(pod)) else None


def _retry_wait(failures: int, settings: OperatorSettings) -> timedelta:
    return timedelta(seconds=exponential(settings.timing.first_retry, settings.timing.longest_retry, failures))


def _create_pod_first(
    situation: Situation, following: ModelDeployment, pod: Object | None, why: Cause, grace: int | None
) -> DeploymentPlan:
    """The next attempt, at once: create its pod, write the status, which keeps the reason, delete the earlier pod."""
    if isinstance(situation.maker, Cause):
        return _write_status_first(situation, following, pod, why, grace)
    made = situation.maker.pod(following)
    return DeploymentPlan(
        [CreatePod(made), WriteStatus(), *_delete(pod, grace)],
        states.restarting(following, why, made, situation.now),
        wake_at=situation.now,
        next_attempt=following,
    )


def _write_status_first(
    situation: Situation, following: ModelDeployment, pod: Object | None, why: Cause, grace: int | None
) -> DeploymentPlan:
    """The next attempt, where the earlier engine may still be well: write the status before anything else."""
    maker = situation.maker
    create = [CreatePod(maker.pod(following))] if isinstance(maker, PodMaker) else []
    actions: list[DeploymentAction] = [WriteStatus(), *create, *_delete(pod, grace)]
    status = states.restarting(following, why)
    return DeploymentPlan(actions, status, wake_at=situation.now, next_attempt=following)


def _delete(pod: Object | None, grace: int | None) -> list[DeletePod]:
    if pod is None or is_deleting(pod):
        return []
    return [DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"], grace)]


def _delete_leftover(pod: Object, deployment: ModelDeployment, settings: OperatorSettings) -> DeletePod:
    """The deletion of a pod of another attempt. Only the status says how that attempt ended."""
    metadata, status = pod["metadata"], deployment.status
    ready = condition_of(status.conditions, ConditionType.READY)
    has_failed = bool(ready and status.last_failure and ready.reason == status.last_failure.reason)
    grace = idle_grace(settings) if status.phase is Phase.SLEEPING else None
    grace = HUNG_GRACE_SECONDS if has_failed or has_ended(pod) else grace
    return DeletePod(metadata["name"], metadata["uid"], grace)
