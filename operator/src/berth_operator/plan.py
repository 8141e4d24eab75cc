"""What to do about one deployment: a pure function of what was observed.

Everything about one start carries the number of the attempt, the pod's name included. An attempt that is over is left by writing the
next number into the status; what an earlier attempt left behind is deleted on sight. A crash between any two writes therefore
loses nothing: the next look sees the same facts and decides the same.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from berth_api.activity import expires_at, last_activity
from berth_api.cluster import Object, Preconditions
from berth_api.conditions import ConditionType, condition_of, merge_conditions
from berth_api.identity import pod_name
from berth_api.model_deployment import Failure, IdleAction, ModelDeployment, ModelDeploymentStatus, Phase, StartStep
from berth_operator import status as states
from berth_operator.engines import ENGINES
from berth_operator.failure import PodFailure, pod_failure
from berth_operator.idle import failed_until, idle_since, is_asleep
from berth_operator.resources import make_pod
from berth_operator.settings import Settings

_FORGET_AFTER = timedelta(hours=1)
"""A router's activity entry whose lease ended this long ago belongs to a router that is gone."""

_LONGEST_BACKOFF_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Observed:
    """What is so: the deployment, the pods it owns, and whether the current pod's engine answers."""

    deployment: ModelDeployment
    pods: list[Object]
    answering_pod: str | None
    """uid of the pod whose engine was seen to answer; None where none was."""


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create this pod."""

    manifest: Object


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete this very pod."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the plan's status, if the deployment is still as it was read: somebody may just have asked for it."""


@dataclass(frozen=True, slots=True)
class DeleteDeployment:
    """Delete the deployment, if it is still as it was read."""

    preconditions: Preconditions


Action = CreatePod | DeletePod | WriteStatus | DeleteDeployment


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; the status that should be; what to find out; and when to look again."""

    actions: list[Action]
    status: ModelDeploymentStatus
    probe: str | None = None
    """Base URL of an engine that is running and has not answered yet."""

    wake_at: datetime | None = None
    """When to look again though nothing has been heard; None: not before something is."""

    forget: list[str] = field(default_factory=list[str])
    """Activity entries to remove with the status."""


def make_plan(observed: Observed, settings: Settings, now: datetime) -> Plan:
    """Decides. Raises nothing; what is wrong becomes part of the status."""
    deployment = observed.deployment
    if deployment.deleting:
        return Plan([], deployment.status)
    engine = ENGINES.get(deployment.spec.backend)
    image = settings.image_for(deployment.spec.backend, deployment.spec.device)
    current, leftovers = _sort_pods(observed)
    if engine is None or image is None:
        plan = _blocked(deployment, states.engine_unavailable(deployment.spec, settings), now)
    elif is_asleep(deployment, now) and current is None:
        plan = Plan([WriteStatus()], states.sleeping(deployment))
    elif current is None and (refused := states.engine_args_refused(deployment.spec, settings)):
        plan = _blocked(deployment, refused, now)
    elif current is None:
        plan = _start(deployment, make_pod(deployment, engine, image, settings), settings, now)
    elif "deletionTimestamp" in current["metadata"]:
        plan = _next_attempt(deployment, now)
    else:
        plan = _judge(observed, current, settings, now)
    return _complete(plan, deployment, leftovers, now)


def pod_refused(deployment: ModelDeployment, reason: str, message: str, settings: Settings, now: datetime) -> Plan:
    """What follows when the API server does not let the pod be created."""
    failure = PodFailure(reason, f"the pod was refused: {message}", ended=True)
    return _complete(_failed(deployment, failure, settings, now), deployment, [], now)


def held_up(plan: Plan, deployment: ModelDeployment, failure: PodFailure, now: datetime) -> Plan:
    """What follows instead of a plan's pod where it must not be made: the failure is told, and nobody waits for what cannot be."""
    return _complete(_blocked(deployment, failure, now), deployment, _deletions(plan), now)


def waiting(plan: Plan, deployment: ModelDeployment, message: str, look_again: datetime, now: datetime) -> Plan:
    """What follows instead of a plan's pod where there is no memory for it yet."""
    later = Plan([WriteStatus()], states.waiting_for_memory(deployment, message), wake_at=look_again)
    return _complete(later, deployment, _deletions(plan), now)


def _deletions(plan: Plan) -> list[DeletePod]:
    return [action for action in plan.actions if isinstance(action, DeletePod)]


def _sort_pods(observed: Observed) -> tuple[Object | None, list[DeletePod]]:
    """The pod of the current attempt, and what is left of earlier ones."""
    name = pod_name(observed.deployment.name, observed.deployment.status.attempt)
    current = next((pod for pod in observed.pods if pod["metadata"]["name"] == name), None)
    leftovers = [
        DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"])
        for pod in observed.pods
        if pod is not current and "deletionTimestamp" not in pod["metadata"]
    ]
    return current, leftovers


def _start(deployment: ModelDeployment, pod: Object, settings: Settings, now: datetime) -> Plan:
    """No pod, and one is wanted: now, or when the wait after a failure is over."""
    failure = deployment.status.last_failure
    if failure and failure.retry_at and failure.retry_at > now:
        expiry = failed_until(deployment)
        if expiry is not None and expiry <= now:
            return _delete(deployment)
        return Plan([WriteStatus()], states.stalled(deployment, failure), wake_at=_earliest(failure.retry_at, expiry))
    if deployment.status.start_steps:  # of a pod that vanished: this is another start
        deployment = states.with_status(deployment, start_requested_at=now)
    status = states.starting(deployment, now, pod, [StartStep(name=states.POD_CREATED, at=now, seconds=0)])
    return Plan([CreatePod(pod), WriteStatus()], status, wake_at=now + timedelta(seconds=settings.timing.start_deadline))


def _judge(observed: Observed, pod: Object, settings: Settings, now: datetime) -> Plan:
    """There is a pod: it has failed, is held up, is starting, or serves."""
    deployment = observed.deployment
    failure = pod_failure(pod, now, timedelta(seconds=settings.timing.unschedulable_grace))
    if failure and failure.ended:
        return _failed(deployment, failure, settings, now)
    if observed.answering_pod == pod["metadata"]["uid"]:
        return _ready(deployment, pod, settings, now)
    deadline = _starting_since(deployment, now) + timedelta(seconds=settings.timing.start_deadline)
    if failure:
        return _blocked(deployment, failure, now)
    if deadline <= now:
        return _failed(deployment, states.deadline_exceeded(deployment, settings), settings, now)
    steps = states.start_steps(deployment, pod, now)
    unscheduled = pod["spec"].get("nodeName") is None
    recheck = now + timedelta(seconds=settings.timing.unschedulable_grace) if unscheduled else None
    return Plan(
        [WriteStatus()],
        states.starting(deployment, now, pod, steps),
        probe=engine_url(observed, pod),
        wake_at=_earliest(deadline, recheck),
    )


def _starting_since(deployment: ModelDeployment, now: datetime) -> datetime:
    """From when the time of a start counts.

    An engine that was ready has long started: one that is not heard any more, as by an operator that has just come itself, has the whole
    time again to answer, and serves the streams that it has.
    """
    status = deployment.status
    if status.phase is Phase.READY:
        return now
    requested = status.start_requested_at or now
    ready = condition_of(status.conditions, ConditionType.READY)
    return max(requested, ready.last_transition_time) if ready and ready.last_transition_time else requested


def _ready(deployment: ModelDeployment, pod: Object, settings: Settings, now: datetime) -> Plan:
    steps = states.start_steps(deployment, pod, now, answering=True)
    loaded_at = next(step.at for step in steps if step.name == states.ENGINE_READY)
    known = deployment.status.loaded_at
    if known != loaded_at:
        deployment = states.with_status(deployment, loaded_at=loaded_at)
    if idle_since(deployment, now) is not None:
        if deployment.spec.idle.action is IdleAction.DELETE:
            return _delete(deployment)
        return _sleep(deployment, pod)
    stable_at = loaded_at + timedelta(seconds=settings.timing.stable_run)
    failure = deployment.status.last_failure if stable_at > now else None
    status = states.ready(deployment, pod, engine_endpoint(deployment, pod), steps, failure)
    return Plan([WriteStatus()], status, wake_at=_earliest(expires_at(deployment), stable_at if failure else None))


def _sleep(deployment: ModelDeployment, pod: Object) -> Plan:
    """First the status: it fails if a router has asked meanwhile, and one that asks from now on sees that it must wait."""
    asleep = states.sleeping(deployment).model_copy(update={"attempt": deployment.status.attempt + 1})
    metadata = pod["metadata"]
    return Plan([WriteStatus(), DeletePod(metadata["name"], metadata["uid"])], asleep)


def _delete(deployment: ModelDeployment) -> Plan:
    return Plan([DeleteDeployment(Preconditions(deployment.uid, deployment.resource_version))], deployment.status)


def _next_attempt(deployment: ModelDeployment, now: datetime) -> Plan:
    """Somebody deleted the pod: not the engine's failure, so the next one starts at once."""
    return Plan([WriteStatus()], states.next_attempt(deployment, None, now), wake_at=now)


def _failed(deployment: ModelDeployment, failure: PodFailure, settings: Settings, now: datetime) -> Plan:
    """The attempt is over. The status is written first, since the dead pod is the only other place that has the reason."""
    before = deployment.status.last_failure
    count = before.count + 1 if before else 1
    was_ready = any(step.name == states.ENGINE_READY for step in deployment.status.start_steps)
    # An engine that has served gets a second chance at once; one that failed again, or never served, has to wait.
    wait = timedelta(0) if was_ready and count == 1 else _backoff(count, settings)
    recorded = Failure(reason=failure.reason, message=failure.message, at=now, count=count, retry_at=now + wait)
    return Plan([WriteStatus()], states.next_attempt(deployment, recorded, now), wake_at=now + wait)


def _blocked(deployment: ModelDeployment, failure: PodFailure, now: datetime) -> Plan:
    """Held up by something that may go away: say so and keep what there is, until nobody wants it any more."""
    before = deployment.status.last_failure
    same = before if before and before.reason == failure.reason and before.retry_at is None else None
    recorded = Failure(
        reason=failure.reason,
        message=failure.message,
        at=same.at if same else now,
        count=same.count if same else (before.count + 1 if before else 1),
    )
    expiry = failed_until(deployment)
    if expiry is not None and expiry <= now:
        return _delete(deployment)
    return Plan([WriteStatus()], states.stalled(deployment, recorded), wake_at=expiry)


def _backoff(count: int, settings: Settings) -> timedelta:
    doublings = min(count - 1, _LONGEST_BACKOFF_DOUBLINGS)
    return timedelta(seconds=min(settings.timing.first_retry * 2**doublings, settings.timing.longest_retry))


def _complete(plan: Plan, deployment: ModelDeployment, leftovers: list[DeletePod], now: datetime) -> Plan:
    """Adds what every status has, and what is to be cleaned up in any case."""
    status = plan.status.model_copy(
        update={
            "observed_generation": deployment.generation,
            "conditions": merge_conditions(deployment.status.conditions, plan.status.conditions, now),
            "last_activity": last_activity(deployment),
        }
    )
    forget = [name for name, entry in deployment.status.activity.items() if entry.keep_until + _FORGET_AFTER < now]
    return Plan([*plan.actions, *leftovers], status, plan.probe, plan.wake_at, forget)


def engine_endpoint(deployment: ModelDeployment, pod: Object) -> str:
    """Base URL of the pod's engine. Only for a pod that has an address."""
    address: str = pod["status"]["podIP"]
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{_port(deployment, pod)}"


def engine_url(observed: Observed, pod: Object) -> str | None:
    """The URL that tells whether the engine serves, once its container runs and has an address."""
    if not states.is_running(pod) or not pod["status"].get("podIP"):
        return None
    process = ENGINES[observed.deployment.spec.backend].process(observed.deployment.spec)
    return engine_endpoint(observed.deployment, pod) + process.health_path


def _port(deployment: ModelDeployment, pod: Object) -> int:
    """Where the pod says that its engine listens: a cluster whose pods share an address gives each a port of its own."""
    declared = (port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports", []))
    return next(declared, ENGINES[deployment.spec.backend].process(deployment.spec).port)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
