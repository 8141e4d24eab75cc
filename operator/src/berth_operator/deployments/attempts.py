"""How attempts begin and end: pure.

Everything about one start carries the number of the attempt, the pod's name included. An attempt that is over is left
by writing the next number into the status. The next one's pod is made just before, the earlier one's deleted just
after; whatever belongs to neither is deleted on sight. A crash between any two writes therefore loses nothing: the next
look sees the same facts and decides the same.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from berth_api.conditions import POD_DELETED, ConditionType, condition_of
from berth_api.identity import attempt_of
from berth_api.model_deployment import NAME_LENGTH, Failure, ModelDeployment, Phase, StartStep
from berth_cluster.cluster import Object, Preconditions
from berth_operator.actions import Action, CreatePod, DeleteDeployment, DeletePod, Observed, Plan, WriteStatus
from berth_operator.deployments import status as states
from berth_operator.deployments.failure import PodFailure
from berth_operator.deployments.idle import failed_until
from berth_operator.deployments.made_from import Difference, digest
from berth_operator.deployments.parts import is_deleting, status_of
from berth_operator.engines import ENGINES, Engine
from berth_operator.resources import make_pod
from berth_operator.resources.pod import HUNG_GRACE_SECONDS
from berth_operator.settings import EngineImage, OperatorSettings
from berth_process.backoff import exponential

IDLE_GRACE_SECONDS = 30
"""What an engine has to end in that nobody uses. It has answers to nobody, and little to save."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the deployment's pods as its spec and the settings now want them."""

    engine: Engine
    image: EngineImage
    settings: OperatorSettings

    def pod(self, deployment: ModelDeployment) -> Object:
        """The pod of the deployment's attempt."""
        return make_pod(deployment, self.engine, self.image, self.settings)


def maker_for(deployment: ModelDeployment, settings: OperatorSettings) -> Maker | PodFailure:
    """Who makes the deployment's pods; or why none can be made."""
    if len(deployment.name) > NAME_LENGTH:
        return states.name_too_long(deployment)
    engine = ENGINES.get(deployment.spec.backend)
    image = settings.image_for(deployment.spec.backend, deployment.spec.device)
    if engine is None or image is None:
        return states.engine_unavailable(deployment.spec, settings)
    return states.engine_args_refused(deployment.spec, settings) or Maker(engine, image, settings)


def sort_pods(observed: Observed, settings: OperatorSettings) -> tuple[Object | None, list[DeletePod]]:
    """The pod of the current attempt, and what is left of others: those that are not being deleted yet."""
    attempt = observed.deployment.status.attempt
    of_attempt = [pod for pod in observed.pods if attempt_of(pod["metadata"]["name"]) == attempt]
    current = min(of_attempt, key=is_deleting, default=None)
    others = [pod for pod in observed.pods if pod is not current and not is_deleting(pod)]
    return current, [_leftover(pod, observed.deployment, settings) for pod in others]


def start(deployment: ModelDeployment, maker: Maker, settings: OperatorSettings, now: datetime) -> Plan:
    """No pod, and one is wanted: now, or when a wait is over."""
    pod = maker.pod(deployment)
    failure = deployment.status.last_failure
    if failure and failure.retry_at and failure.retry_at > now and failure.made_from in (None, digest(pod)):
        expiry = failed_until(deployment)
        if expiry is not None and expiry <= now:
            return delete_deployment(deployment)
        return Plan(
            [WriteStatus()], states.waiting_to_retry(deployment, failure), wake_at=earliest(failure.retry_at, expiry)
        )
    if deployment.status.start_steps:
        gone = PodFailure(POD_DELETED, "the pod was deleted", ended=True)
        return disrupted(deployment, None, gone, maker, settings, now)
    status = states.starting(deployment, now, pod, [StartStep(name=states.POD_CREATED, at=now, seconds=0)])
    return Plan(
        [CreatePod(pod), WriteStatus()], status, wake_at=now + timedelta(seconds=settings.timing.start_deadline)
    )


def failed(
    deployment: ModelDeployment,
    pod: Object | None,
    failure: PodFailure,
    maker: Maker | PodFailure,
    settings: OperatorSettings,
    now: datetime,
    made_from: str | None = None,
) -> Plan:
    """The attempt is over: its engine ended, hangs, or came too late; or its pod, of `made_from`, was not created.

    The status is written before the pod goes, since a dead pod is the only other place that has the reason.
    """
    before = _failure_on_record(deployment)
    made_from = digest(pod) if pod else made_from
    in_a_row = before.count if before and before.made_from in (None, made_from) else 0
    was_ready = any(step.name == states.ENGINE_READY for step in deployment.status.start_steps)
    # An engine that has served gets a second chance at once; one that failed again, or never served, has to wait.
    at_once = was_ready and in_a_row == 0
    seconds = exponential(settings.timing.first_retry, settings.timing.longest_retry, in_a_row + 1)
    wait = timedelta(0) if at_once else timedelta(seconds=seconds)
    recorded = Failure(
        reason=failure.reason,
        message=failure.message,
        at=now,
        count=in_a_row + 1,
        retry_at=now + wait,
        made_from=made_from,
    )
    following = _next_attempt(deployment, now, recorded)
    if not wait and pod and not _has_ended(pod):  # it hangs, which another operator would have to find out anew
        return _left(following, pod, failure, maker, now, HUNG_GRACE_SECONDS)
    if not wait:
        return _replaced(following, pod, failure, maker, now, HUNG_GRACE_SECONDS)
    status = states.waiting_to_retry(following, recorded)
    return Plan([WriteStatus(), *_delete(pod, HUNG_GRACE_SECONDS)], status, wake_at=now + wait, about=following)


def disrupted(
    deployment: ModelDeployment,
    pod: Object | None,
    why: PodFailure,
    maker: Maker | PodFailure,
    settings: OperatorSettings,
    now: datetime,
) -> Plan:
    """Somebody took the pod away. That is not the engine's failure: the next one comes at once.

    Unless the pod had only just been made. Who deletes each new pod would else be answered with new ones as fast as
    they can be made.
    """
    requested = deployment.status.start_requested_at
    created = next((step.at for step in deployment.status.start_steps if step.name == states.POD_CREATED), requested)
    due = created + timedelta(seconds=settings.timing.first_retry) if created else now
    if due > now:
        return Plan([WriteStatus()], states.taken_away(deployment, why), wake_at=due)
    return _replaced(_next_attempt(deployment, now, _failure_on_record(deployment)), pod, why, maker, now, None)


def rolled(
    deployment: ModelDeployment,
    pod: Object,
    changed: Difference,
    maker: Maker,
    now: datetime,
    grace: int | None,
) -> Plan:
    """The engine was made from an earlier spec or image, and nobody uses it: the next one is made from the present one.

    First the guarded status: it fails if a router has just taken a lease, and who asks from now on waits for the next
    engine.
    """
    why = PodFailure(changed.reason, f"changed: {changed.what}; another engine takes its place", ended=True)
    return _left(_next_attempt(deployment, now, _failure_on_record(deployment)), pod, why, maker, now, grace)


def held_up(
    deployment: ModelDeployment,
    pod: Object | None,
    failure: PodFailure,
    now: datetime,
    deadline: datetime | None = None,
) -> Plan:
    """Held up by something that may go away: say so and keep it, until nobody wants it or until the deadline.

    An attempt that failed before stays on record, with the count of those in a row: that this one is held up is told by
    conditions.
    """
    before = deployment.status.last_failure
    same = before if before and before.reason == failure.reason else None
    at = same.at if same else now
    new = Failure(reason=failure.reason, message=failure.message, at=at, count=1)
    record = _failure_on_record(deployment) or new
    expiry = failed_until(deployment)
    if expiry is not None and expiry <= now:
        return delete_deployment(deployment)
    return Plan(
        [WriteStatus()], states.held_up(deployment, pod, failure, record, now), wake_at=earliest(expiry, deadline)
    )


def delete_deployment(deployment: ModelDeployment, pods: list[DeletePod] | None = None) -> Plan:
    """Nobody wants it. Its pods would go by themselves, with the grace for answers under way; there are none."""
    preconditions = Preconditions(deployment.uid, deployment.resource_version)
    return Plan([DeleteDeployment(preconditions), *(pods or [])], deployment.status)


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of the moments that there are."""
    return min((moment for moment in moments if moment is not None), default=None)


def _next_attempt(deployment: ModelDeployment, now: datetime, failure: Failure | None) -> ModelDeployment:
    return states.with_status(
        deployment, attempt=deployment.status.attempt + 1, start_steps=[], start_requested_at=now, last_failure=failure
    )


def _failure_on_record(deployment: ModelDeployment) -> Failure | None:
    """The failure of an earlier attempt; what merely holds one up ends with it."""
    failure = deployment.status.last_failure
    return failure if failure and failure.retry_at else None


def _replaced(
    following: ModelDeployment,
    pod: Object | None,
    why: PodFailure,
    maker: Maker | PodFailure,
    now: datetime,
    grace: int | None,
) -> Plan:
    """The next attempt, at once: its pod, then the status, which keeps the reason, and then the earlier pod goes."""
    if isinstance(maker, PodFailure):
        return _left(following, pod, why, maker, now, grace)
    made = maker.pod(following)
    status = states.restarting(following, why, made, now)
    return Plan([CreatePod(made), WriteStatus(), *_delete(pod, grace)], status, wake_at=now, about=following)


def _left(
    following: ModelDeployment,
    pod: Object | None,
    why: PodFailure,
    maker: Maker | PodFailure,
    now: datetime,
    grace: int | None,
) -> Plan:
    """The next attempt, where the earlier pod may still be well: first the status, and only then anything else."""
    create = [CreatePod(maker.pod(following))] if isinstance(maker, Maker) else []
    actions: list[Action] = [WriteStatus(), *create, *_delete(pod, grace)]
    return Plan(actions, states.restarting(following, why), wake_at=now, about=following)


def _has_ended(pod: Object) -> bool:
    return status_of(pod).get("phase") in ("Failed", "Succeeded")


def _delete(pod: Object | None, grace: int | None) -> list[DeletePod]:
    if pod is None or is_deleting(pod):
        return []
    return [DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"], grace)]


def _leftover(pod: Object, deployment: ModelDeployment, settings: OperatorSettings) -> DeletePod:
    """What to do about a pod of an earlier attempt, of which only the record says how it ended."""
    metadata, status = pod["metadata"], deployment.status
    ready = condition_of(status.conditions, ConditionType.READY)
    has_failed = bool(ready and status.last_failure and ready.reason == status.last_failure.reason)
    grace = idle_grace(settings) if status.phase is Phase.SLEEPING else None
    grace = HUNG_GRACE_SECONDS if has_failed or _has_ended(pod) else grace
    return DeletePod(metadata["name"], metadata["uid"], grace)


def idle_grace(settings: OperatorSettings) -> int:
    """What an engine has to end in that nobody uses."""
    return min(IDLE_GRACE_SECONDS, settings.timing.termination_grace)
