"""What to do about an engine that is or was ready: pure. It serves, is idle, is silent, or its spec has changed."""

from dataclasses import replace
from datetime import datetime, timedelta

from berth_api.activity import evicted, expires_at, leased_until, vacated_at
from berth_api.conditions import Condition, ConditionType, condition_of
from berth_api.model_deployment import ENGINE_READY, Failure, IdleAction, ModelDeployment, Phase
from berth_cluster.cluster import Object
from berth_operator.deployments import attempts
from berth_operator.deployments import status as states
from berth_operator.deployments.actions import (
    DeletePod,
    DeploymentPlan,
    ObservedDeployment,
    ProbeTarget,
)
from berth_operator.deployments.attempts import Situation
from berth_operator.deployments.eviction import eviction_status, renewed_at
from berth_operator.deployments.health import Health, Healthy, Hung, ProbeHistory, Unresponsive, engine_health
from berth_operator.deployments.idle import idle_since
from berth_operator.deployments.pod_maker import FORESEEN, OF_THE_SPEC, PodMaker
from berth_operator.deployments.start_steps import steps_done
from berth_operator.engines import ENGINES
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import base_url, is_running
from berth_operator.reconciling.writer import WriteStatus
from berth_operator.resources.made_from import Difference, difference, digest, made_in_generation
from berth_operator.resources.pod import CONTAINER, HUNG_GRACE_SECONDS
from berth_operator.room.orders import EvictionOrder
from berth_operator.settings import OperatorSettings

_SETTLE = timedelta(seconds=5)
"""How long an engine must have been ready before it may be replaced: the requests that waited for it come first."""


def serve(
    situation: Situation, pod: Object, probes: ProbeHistory | None, ordered: EvictionOrder | None = None
) -> DeploymentPlan:
    """The pod's engine has been ready in this attempt, or has just answered for the first time.

    `ordered`: that it has to make room.
    """
    deployment, settings, now = situation.deployment, situation.settings, situation.now
    steps = steps_done(deployment, pod, now, answering=True)
    loaded_at = next(step.at for step in steps if step.name == ENGINE_READY)
    if deployment.status.loaded_at != loaded_at:
        deployment = states.with_status(deployment, loaded_at=loaded_at)
        situation = Situation(deployment, situation.maker, settings, now)
    if probes and probes.context:
        deployment = states.with_context(deployment, pod, probes.context)
    endpoint = engine_endpoint(deployment, pod)
    health = _health(situation, pod, probes, loaded_at, has_endpoint=endpoint is not None)
    answers = isinstance(health, Healthy)
    if idle_since(deployment, now) is not None:
        return unload(deployment, pod, settings, answers=answers, refused=_refused_change(situation))
    vacated = vacated_at(deployment, now) if ordered and ordered.close else None
    if ordered and vacated and vacated <= now:  # no lease to wait for, and so nobody to close it to
        return unload(deployment, pod, settings, answers=answers, wanted_by=ordered.wanted_by, now=now)
    if isinstance(health, Hung):
        return attempts.failed(situation, pod, health.failure)
    changed = changed_since(situation, pod)
    maker = situation.maker if changed and answers else None
    roll_at = _roll_at(deployment, now) if isinstance(maker, PodMaker) else None
    if changed and isinstance(maker, PodMaker) and roll_at and roll_at <= now:
        plan = attempts.rolled(situation, pod, changed, None)
        return replace(plan, replacement=maker.pod(plan.next_attempt or deployment))
    foreseen = _foreseen(situation)
    if changed and foreseen:
        changed = Difference(foreseen.reason, foreseen.message, made_in_generation(pod))
    eviction = eviction_status(deployment.status.eviction, ordered, now)
    stable_at = loaded_at + timedelta(seconds=settings.timing.stable_run)
    failure = deployment.status.last_failure if stable_at > now or isinstance(health, Unresponsive) else None
    if isinstance(health, Unresponsive):
        status = states.unresponsive(deployment, pod, steps, failure, health.why, eviction)
    else:
        status = states.ready(deployment, pod, endpoint or "", steps, failure, eviction)
    forgets_at = stable_at if failure and stable_at > now else None
    renew_at = renewed_at(eviction)
    wake_at = attempts.earliest(expires_at(deployment), forgets_at, health.look_at, roll_at, vacated, renew_at)
    return DeploymentPlan([WriteStatus()], status, probe_target(deployment, pod), wake_at, outdated=changed)


def unload(
    deployment: ModelDeployment,
    pod: Object,
    settings: OperatorSettings,
    *,
    answers: bool,
    wanted_by: str | None = None,
    now: datetime | None = None,
    refused: Failure | None = None,
) -> DeploymentPlan:
    """The deployment is idle, or makes room for `wanted_by`: it is deleted, or falls asleep.

    `refused`: why no engine could have the changed spec, while one of the spec before served.
    Before it falls asleep the status is written. That write fails if a router has just taken a lease, and later
    requests wait.
    """
    grace = attempts.idle_grace(settings) if answers else HUNG_GRACE_SECONDS
    deletion = DeletePod(pod["metadata"]["name"], pod["metadata"]["uid"], grace)
    if deployment.spec.idle.action is IdleAction.DELETE:
        return attempts.delete_deployment(deployment, [deletion])
    if wanted_by and now:
        asleep = states.evicted(deployment, wanted_by, evicted(deployment, now))
    else:
        asleep = states.sleeping(deployment, refused)
    following = asleep.model_copy(update={"attempt": deployment.status.attempt + 1})
    return DeploymentPlan([WriteStatus(), deletion], following)


def probes_of(observed: ObservedDeployment, pod: Object) -> ProbeHistory | None:
    """What the probes of this very pod's engine have found."""
    probes = observed.probes
    return probes if probes and probes.pod == pod["metadata"]["uid"] else None


def changed_since(situation: Situation, pod: Object) -> Difference | None:
    """What has changed since the pod was made. That none could be made now counts as a change."""
    maker = situation.maker
    if isinstance(maker, Cause):
        made_in = made_in_generation(pod) if maker.reason in OF_THE_SPEC else None
        return Difference(maker.reason, maker.message, made_in)
    return difference(pod, maker.pod(situation.deployment))


def _foreseen(situation: Situation) -> Condition | None:
    """What was found when the next pod of this spec was last asked for: that there could be none.

    It holds until it is asked for again, when no request needs the engine.
    """
    deployment = situation.deployment
    stalled = condition_of(deployment.status.conditions, ConditionType.STALLED)
    if stalled is None or stalled.status != "True" or stalled.observed_generation != deployment.generation:
        return None
    return stalled if stalled.reason in FORESEEN and isinstance(situation.maker, PodMaker) else None


def _refused_change(situation: Situation) -> Failure | None:
    """The same, as the failure of a start."""
    foreseen, maker, now = _foreseen(situation), situation.maker, situation.now
    if foreseen is None or not isinstance(maker, PodMaker):
        return None
    return Failure(
        reason=foreseen.reason,
        message=foreseen.message,
        at=now,
        count=1,
        retry_at=now + timedelta(seconds=situation.settings.timing.first_retry),
        made_from=digest(maker.pod(situation.deployment)),
    )


def probe_target(deployment: ModelDeployment, pod: Object) -> ProbeTarget | None:
    """The engine to probe; None before its container runs and has an address."""
    endpoint = engine_endpoint(deployment, pod)
    if endpoint is None or not is_running(pod):
        return None
    process = ENGINES[deployment.spec.backend].process(deployment.spec)
    models_url = endpoint + process.models_path if process.models_path else None
    return ProbeTarget(pod["metadata"]["uid"], endpoint + process.health_path, models_url, deployment.uid)


def engine_endpoint(deployment: ModelDeployment, pod: Object) -> str | None:
    """Base URL of the pod's engine; None where the pod has no address."""
    return base_url(pod, CONTAINER, ENGINES[deployment.spec.backend].process(deployment.spec).port)


def _health(
    situation: Situation, pod: Object, probes: ProbeHistory | None, loaded_at: datetime, *, has_endpoint: bool
) -> Health:
    was_unresponsive = situation.deployment.status.phase is Phase.UNRESPONSIVE
    timing = situation.settings.timing
    health = engine_health(pod, probes, loaded_at, timing, situation.now, was_unresponsive=was_unresponsive)
    if isinstance(health, Healthy) and not has_endpoint:
        return Unresponsive("its pod has no address", health.look_at)
    return health


def _roll_at(deployment: ModelDeployment, now: datetime) -> datetime:
    """When no request needs the engine any more, if none comes until then."""
    ready = condition_of(deployment.status.conditions, ConditionType.READY)
    since = ready.last_transition_time if ready and ready.status == "True" and ready.last_transition_time else now
    return max(since + _SETTLE, leased_until(deployment) or since)
