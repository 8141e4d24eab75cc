"""The status of a deployment in each state of its life: pure.

Each function returns the whole status that the operator writes, made of the stored one.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from berth_api.activity import expires_at
from berth_api.conditions import (
    ENGINE_NOT_ANSWERING,
    PLANNED_DISRUPTIONS,
    WAITING_FOR_ROOM,
    Condition,
    ConditionStatus,
    ConditionType,
    condition_of,
)
from berth_api.engine_settings import AUTO
from berth_api.model_deployment import (
    ENGINE_READY,
    Eviction,
    Failure,
    ModelDeployment,
    ModelDeploymentStatus,
    Phase,
    QueuePlace,
    StartStep,
)
from berth_cluster.cluster import CONTEXT_ANNOTATION, MEMORY_ANNOTATION, TRAINED_CONTEXT_ANNOTATION, Object
from berth_operator.deployments.start_steps import (
    ENGINE_STARTED,
    POD_SCHEDULED,
    held_back,
    next_step,
    pod_created,
    steps_done,
)
from berth_operator.engines.context import EngineContext
from berth_operator.objects.parts import annotations_of, number
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import waiting_message

_MAKING_ROOM = "MakingRoom"
_MADE_ROOM = "MadeRoom"
_WAKES = "the next request starts it again"


def with_status(deployment: ModelDeployment, **changes: Any) -> ModelDeployment:
    """The deployment as it would be with these fields of its status changed."""
    return replace(deployment, status=deployment.status.model_copy(update=changes))


def with_context(deployment: ModelDeployment, pod: Object, told: EngineContext) -> ModelDeployment:
    """The deployment with the context that this pod's engine says it has."""
    fields = {"context_size": told.size, "trained_context_size": told.trained, "pod_name": pod["metadata"]["name"]}
    return with_status(deployment, **{name: value for name, value in fields.items() if value})


def starting(deployment: ModelDeployment, now: datetime, pod: Object, steps: list[StartStep]) -> ModelDeploymentStatus:
    """A pod exists, and its engine is not ready yet.

    An earlier failure stays in the status until a run has lasted, an earlier disruption until the engine is ready.
    """
    reason, message = held_back(pod) or next_step(steps)
    message = waiting_message(pod) or message
    failure = deployment.status.last_failure
    failure = failure if failure and failure.retry_at else None
    before = f"; before that: {failure.message}" if failure else ""
    return deployment.status.model_copy(
        update={
            **_with_pod(deployment, pod, steps),
            "phase": Phase.STARTING,
            "endpoint": None,
            "expires_at": None,
            "start_requested_at": deployment.status.start_requested_at or now,
            "last_failure": failure,
            "conditions": [
                _ready(deployment, "False", disruption_before(deployment) or "Starting", message + before),
                _reconciling(deployment, "True", reason, message),
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def waiting_for_room(deployment: ModelDeployment, message: str, queue: QueuePlace | None) -> ModelDeploymentStatus:
    """There is no pod yet: other models have the memory or the devices. `queue`: its place; None: nobody waits."""
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.PENDING,
            "queue": queue,
            "conditions": [
                _ready(deployment, "False", WAITING_FOR_ROOM, message),
                _reconciling(deployment, "True", WAITING_FOR_ROOM, message),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def with_queue(status: ModelDeploymentStatus, queue: QueuePlace, message: str) -> ModelDeploymentStatus:
    """The status of a pod that finds no node, with its place in the queue; the message says what it waits for."""
    told = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)
    conditions = [
        each.model_copy(update={"message": f"{each.message}; {message}"})
        if each.type in told and (each.status == "True") != (each.type == ConditionType.READY)
        else each
        for each in status.conditions
    ]
    return status.model_copy(update={"queue": queue, "conditions": conditions})


def ready(
    deployment: ModelDeployment,
    pod: Object,
    endpoint: str,
    steps: list[StartStep],
    failure: Failure | None,
    eviction: Eviction | None,
) -> ModelDeploymentStatus:
    """The engine answers. `failure`: the last one, if the run has not lasted yet."""
    message = f"the engine answers; it took {steps[-1].seconds:.1f} s to start{_less_context(deployment)}"
    reconciling = _reconciling(deployment, "False", "Done", "nothing is left to do")
    if eviction and eviction.closed_until:
        room = f"it makes room for {eviction.wanted_by}: new requests wait, and those in hand end first"
        reconciling = _reconciling(deployment, "True", _MAKING_ROOM, room)
    return deployment.status.model_copy(
        update={
            **_with_pod(deployment, pod, steps),
            "phase": Phase.READY,
            "endpoint": endpoint,
            "expires_at": expires_at(deployment),
            "last_failure": failure,
            "eviction": eviction,
            "conditions": [
                _ready(deployment, "True", ENGINE_READY, message),
                reconciling,
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def unresponsive(
    deployment: ModelDeployment,
    pod: Object,
    steps: list[StartStep],
    failure: Failure | None,
    why: str | None,
    eviction: Eviction | None,
) -> ModelDeploymentStatus:
    """The engine was ready and does not answer. `why`: None where the stored reason still holds."""
    stored = condition_of(deployment.status.conditions, ConditionType.READY)
    message = stored.message if stored else "the engine does not answer"
    if why:
        message = f"{why}; new requests wait until it answers, and those under way go on"
    return deployment.status.model_copy(
        update={
            **_with_pod(deployment, pod, steps),
            "phase": Phase.UNRESPONSIVE,
            "endpoint": None,
            "expires_at": expires_at(deployment),
            "last_failure": failure,
            "eviction": eviction,
            "conditions": [
                _ready(deployment, "False", ENGINE_NOT_ANSWERING, message),
                _reconciling(deployment, "True", ENGINE_NOT_ANSWERING, "the engine is asked until it answers"),
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def sleeping(deployment: ModelDeployment, failure: Failure | None = None) -> ModelDeploymentStatus:
    """The deployment is asleep: it was idle, or nobody has asked yet. It has no pod; the next request wakes it.

    `failure`: why its last start failed. It is told until a request has it tried again.
    """
    if failure:
        conditions = _stalled(deployment, failure, "the next request has it tried again", [])
        asleep = {"phase": Phase.SLEEPING, "last_failure": failure, "conditions": conditions}
        return _without_pod(deployment).model_copy(update=asleep)
    stored = condition_of(deployment.status.conditions, ConditionType.READY)
    if stored and stored.reason == _MADE_ROOM and deployment.status.phase is Phase.SLEEPING:
        return _asleep(deployment, stored.reason, stored.message)
    if deployment.status.loaded_at is None:
        return _asleep(deployment, "NotAskedYet", "no request yet; the first one starts it")
    return _asleep(deployment, "Idle", f"no request for {deployment.spec.idle.ttl_seconds} s; {_WAKES}")


def evicted(deployment: ModelDeployment, wanted_by: str, at: datetime) -> ModelDeploymentStatus:
    """The deployment is asleep: it has made room for another one, and wakes in turn with the next request."""
    message = f"it made room for {wanted_by}; {_WAKES}"
    return _asleep(deployment, _MADE_ROOM, message).model_copy(update={"evicted_at": at})


def _asleep(deployment: ModelDeployment, reason: str, message: str) -> ModelDeploymentStatus:
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.SLEEPING,
            "last_failure": None,
            "conditions": [
                # It is as it should be: were it False, whoever waits for the resource would wait for a request.
                _ready(deployment, "True", reason, message),
                _reconciling(deployment, "False", reason, message),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def waiting_to_retry(deployment: ModelDeployment, failure: Failure, *, due: bool) -> ModelDeploymentStatus:
    """An attempt has failed, and it is too early for the next one; or `due`: nobody asks for it."""
    following = "the next start is tried when it is asked for" if due else "the next start is tried later"
    update = {
        "phase": Phase.STALLED,
        "last_failure": failure,
        "conditions": _stalled(deployment, failure, following, []),
    }
    return _without_pod(deployment).model_copy(update=update)


def blocked(
    deployment: ModelDeployment, pod: Object | None, cause: Cause, record: Failure, now: datetime
) -> ModelDeploymentStatus:
    """Something that may go away blocks the start. `record`: what the status has as its last failure."""
    steps = steps_done(deployment, pod, now) if pod else []
    started: dict[str, Any] = {}
    if pod:
        started = {
            **_with_pod(deployment, pod, steps),
            "start_requested_at": deployment.status.start_requested_at or now,
        }
    return _without_pod(deployment).model_copy(
        update={
            **started,
            "phase": Phase.STALLED,
            "last_failure": record,
            "conditions": _stalled(deployment, cause, "it starts when that is mended", steps),
        }
    )


def restarting(
    following: ModelDeployment, why: Cause, pod: Object | None = None, now: datetime | None = None
) -> ModelDeploymentStatus:
    """The attempt before has ended for this reason, and another pod is made. `pod`: that pod, where it exists now."""
    update: dict[str, Any] = {"start_requested_at": following.status.start_requested_at}
    if pod and now:
        update |= {"pod_name": pod["metadata"]["name"], "start_steps": pod_created(now)}
    return _between_pods(following, why, "the engine is started again").model_copy(update=update)


def pod_taken_away(deployment: ModelDeployment, why: Cause) -> ModelDeploymentStatus:
    """Somebody took away a pod that had only just been made: another pod is made in a moment."""
    kept = {"start_requested_at": deployment.status.start_requested_at, "start_steps": deployment.status.start_steps}
    return _between_pods(deployment, why, "the engine is started again in a moment").model_copy(update=kept)


def disruption_before(deployment: ModelDeployment) -> str | None:
    """The reason of the last disruption, until the next engine is ready; None where there was none."""
    stored = condition_of(deployment.status.conditions, ConditionType.READY)
    return stored.reason if stored and stored.status == "False" and stored.reason in PLANNED_DISRUPTIONS else None


def sized(status: ModelDeploymentStatus, pod: Object) -> ModelDeploymentStatus:
    """The status of a pod that is being made, with what the pod notes of what it will take."""
    notes = {name: size for name, size in _notes(pod).items() if size is not None}
    return status.model_copy(update=notes) if status.pod_name == pod["metadata"]["name"] else status


def _notes(pod: Object) -> dict[str, int | None]:
    annotations = annotations_of(pod)
    return {
        "memory_bytes": number(annotations.get(MEMORY_ANNOTATION)),
        "context_size": number(annotations.get(CONTEXT_ANNOTATION)),
        "trained_context_size": number(annotations.get(TRAINED_CONTEXT_ANNOTATION)),
    }


def _with_pod(deployment: ModelDeployment, pod: Object, steps: list[StartStep]) -> dict[str, Any]:
    """What a status has of its pod. What the pod's engine has said of its context comes before what it was given."""
    status, name, notes = deployment.status, pod["metadata"]["name"], _notes(pod)
    told = status.context_size if status.pod_name == name else None
    return {
        "pod_name": name,
        "memory_bytes": notes["memory_bytes"],
        "context_size": told or notes["context_size"],
        "trained_context_size": status.trained_context_size or notes["trained_context_size"],
        "start_steps": steps,
        "eviction": None,
        "queue": None,
    }


def _less_context(deployment: ModelDeployment) -> str:
    """A clause for people, where the model was made for less context than the spec states."""
    settings, has = deployment.spec.llamacpp, deployment.status.context_size
    stated = settings.context_size if settings else None
    if has is None or stated in (None, AUTO) or stated <= has:
        return ""
    return f"; its context has {has} tokens, as many as the model was made for, and not the {stated} of contextSize"


def _without_pod(deployment: ModelDeployment) -> ModelDeploymentStatus:
    return deployment.status.model_copy(
        update={
            "endpoint": None,
            "expires_at": None,
            "pod_name": None,
            "memory_bytes": None,
            "context_size": None,
            "trained_context_size": None,
            "start_requested_at": None,
            "start_steps": [],
            "eviction": None,
            "queue": None,
        }
    )


def _between_pods(deployment: ModelDeployment, why: Cause, message: str) -> ModelDeploymentStatus:
    """There is no engine, and another one will start."""
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.PENDING,
            "conditions": [
                _ready(deployment, "False", why.reason, why.message),
                _reconciling(deployment, "True", "Restarting", message),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def _stalled(deployment: ModelDeployment, why: Failure | Cause, then: str, steps: list[StartStep]) -> list[Condition]:
    return [
        _ready(deployment, "False", why.reason, why.message),
        _reconciling(deployment, "False", "Stalled", then),
        _condition(deployment, ConditionType.STALLED, "True", why.reason, why.message),
        *_step_conditions(deployment, steps),
    ]


def _step_conditions(deployment: ModelDeployment, steps: list[StartStep]) -> list[Condition]:
    done = {step.name for step in steps}

    def of_step(kind: ConditionType, step: str, yes: str, no: str) -> Condition:
        if step in done:
            return _condition(deployment, kind, "True", step, yes)
        return _condition(deployment, kind, "False", "NotYet", no)

    return [
        of_step(ConditionType.POD_SCHEDULED, POD_SCHEDULED, "a node was found", "no node yet"),
        of_step(
            ConditionType.ENGINE_STARTED,
            ENGINE_STARTED,
            "the engine's process runs",
            "the engine's process does not run",
        ),
    ]


def _ready(deployment: ModelDeployment, status: ConditionStatus, reason: str, message: str) -> Condition:
    return _condition(deployment, ConditionType.READY, status, reason, message)


def _reconciling(deployment: ModelDeployment, status: ConditionStatus, reason: str, message: str) -> Condition:
    return _condition(deployment, ConditionType.RECONCILING, status, reason, message)


def _not_stalled(deployment: ModelDeployment) -> Condition:
    return _condition(deployment, ConditionType.STALLED, "False", "NotStalled", "nothing stands in the way")


def _condition(
    deployment: ModelDeployment, kind: ConditionType, status: ConditionStatus, reason: str, message: str
) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, observed_generation=deployment.generation
    )
