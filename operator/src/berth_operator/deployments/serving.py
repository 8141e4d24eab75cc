"""What to do about an engine that is ready, or was: pure. It serves, is idle, is silent, or its spec has changed."""

from datetime import datetime, timedelta

from berth_api.activity import expires_at, leased_until
from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import IdleAction, ModelDeployment, Phase
from berth_cluster.cluster import Object
from berth_operator.actions import DeletePod, Engine, Observed, Plan, WriteStatus
from berth_operator.deployments import attempts
from berth_operator.deployments import status as states
from berth_operator.deployments.attempts import Maker
from berth_operator.deployments.failure import PodFailure
from berth_operator.deployments.health import Healthy, Hung, Sight, Unresponsive, engine_health
from berth_operator.deployments.idle import idle_since
from berth_operator.deployments.made_from import Difference, difference
from berth_operator.deployments.parts import ports_of, status_of
from berth_operator.engines import ENGINES
from berth_operator.resources.pod import CONTAINER, HUNG_GRACE_SECONDS
from berth_operator.settings import OperatorSettings

_SETTLE = timedelta(seconds=5)
"""How long an engine must have been ready before it may be replaced: those who waited for it come first."""


def serve(
    observed: Observed, pod: Object, maker: Maker | PodFailure, settings: OperatorSettings, now: datetime
) -> Plan:
    """There is a pod whose engine has been ready in this attempt, or has just been heard for the first time."""
    deployment, timing = observed.deployment, settings.timing
    steps = states.start_steps(deployment, pod, now, answering=True)
    loaded_at = next(step.at for step in steps if step.name == states.ENGINE_READY)
    if deployment.status.loaded_at != loaded_at:
        deployment = states.with_status(deployment, loaded_at=loaded_at)
    endpoint = engine_endpoint(deployment, pod)
    was_unresponsive = deployment.status.phase is Phase.UNRESPONSIVE
    health = engine_health(pod, sight_of(observed, pod), loaded_at, timing, now, was_unresponsive=was_unresponsive)
    if endpoint is None and isinstance(health, Healthy):
        health = Unresponsive("its pod has no address", health.look_at)
    if idle_since(deployment, now) is not None:
        return put_away(deployment, pod, settings, answers=isinstance(health, Healthy))
    if isinstance(health, Hung):
        return attempts.failed(deployment, pod, health.failure, maker, settings, now)
    changed = changed_since(pod, maker, deployment)
    roll_at = (
        _roll_at(deployment, now) if changed and isinstance(health, Healthy) and isinstance(maker, Maker) else None
    )
    if changed and isinstance(maker, Maker) and roll_at and roll_at <= now:
        return attempts.rolled(deployment, pod, changed, maker, now, None)
    stable_at = loaded_at + timedelta(seconds=timing.stable_run)
    failure = deployment.status.last_failure if stable_at > now or isinstance(health, Unresponsive) else None
    if isinstance(health, Unresponsive):
        status = states.unresponsive(deployment, pod, steps, failure, health.why)
    else:
        status = states.ready(deployment, pod, endpoint or "", steps, failure)
    forgets_at = stable_at if failure and stable_at > now else None
    wake_at = attempts.earliest(expires_at(deployment), forgets_at, health.look_at, roll_at)
    return Plan([WriteStatus()], status, engine_of(deployment, pod), wake_at, outdated=changed)


def sight_of(observed: Observed, pod: Object) -> Sight | None:
    """What is known of this very pod's engine."""
    sight = observed.sight
    return sight if sight and sight.pod == pod["metadata"]["uid"] else None


def changed_since(pod: Object, maker: Maker | PodFailure, deployment: ModelDeployment) -> Difference | None:
    """What has changed since the pod was made; that none could be made now counts."""
    if isinstance(maker, PodFailure):
        return Difference(maker.reason, maker.message, None)
    return difference(pod, maker.pod(deployment))


def engine_of(deployment: ModelDeployment, pod: Object) -> Engine | None:
    """The engine that is to be asked, once its container runs and has an address."""
    endpoint = engine_endpoint(deployment, pod)
    if endpoint is None or not states.is_running(pod):
        return None
    process = ENGINES[deployment.spec.backend].process(deployment.spec)
    return Engine(pod["metadata"]["uid"], endpoint + process.health_path)


def engine_endpoint(deployment: ModelDeployment, pod: Object) -> str | None:
    """Base URL of the pod's engine; None where the pod has no address."""
    address: str | None = status_of(pod).get("podIP")
    if not address:
        return None
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{_port(deployment, pod)}"


def _port(deployment: ModelDeployment, pod: Object) -> int:
    """Where the pod says that its engine listens: where all pods share an address, each has a port of its own."""
    declared = ports_of(pod, CONTAINER)
    return declared[0] if declared else ENGINES[deployment.spec.backend].process(deployment.spec).port


def put_away(deployment: ModelDeployment, pod: Object, settings: OperatorSettings, *, answers: bool) -> Plan:
    """It is idle. To sleep: first the status, which fails if a router has asked, and who asks from now on waits."""
    grace = attempts.idle_grace(settings) if answers else HUNG_GRACE_SECONDS
    deletion = DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"], grace)
    if deployment.spec.idle.action is IdleAction.DELETE:
        return attempts.delete_deployment(deployment, [deletion])
    asleep = states.sleeping(deployment).model_copy(update={"attempt": deployment.status.attempt + 1})
    return Plan([WriteStatus(), deletion], asleep)


def _roll_at(deployment: ModelDeployment, now: datetime) -> datetime | None:
    """When nobody uses the engine, if nothing is heard until then; None where that cannot be told."""
    ready = condition_of(deployment.status.conditions, ConditionType.READY)
    since = ready.last_transition_time if ready and ready.status == "True" and ready.last_transition_time else now
    return max(since + _SETTLE, leased_until(deployment) or since)
