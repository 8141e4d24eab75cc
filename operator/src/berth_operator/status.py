"""The status of a deployment in each state of its life, and the words it is told in: pure.

Each function returns the whole status that the operator owns, from the stored one.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from berth_api.activity import expires_at
from berth_api.cluster import MEMORY_ANNOTATION, Object
from berth_api.conditions import Condition, ConditionStatus, ConditionType
from berth_api.model_deployment import (
    Failure,
    ModelDeployment,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    Phase,
    StartStep,
)
from berth_operator.engines import ENGINES
from berth_operator.engines.arguments import refused_arguments
from berth_operator.failure import PodFailure
from berth_operator.settings import Settings

POD_CREATED = "PodCreated"
POD_SCHEDULED = "PodScheduled"
ENGINE_STARTED = "EngineStarted"
ENGINE_READY = "EngineReady"
WAITING_FOR_MEMORY = "WaitingForMemory"

_WAITING_FOR = {
    POD_CREATED: ("WaitingForNode", "the pod waits for a node"),
    POD_SCHEDULED: ("WaitingForContainer", "the node pulls the image and creates the container"),
    ENGINE_STARTED: ("LoadingModel", "the engine loads the model"),
}
"""By the last step that is done: what comes next."""


def with_status(deployment: ModelDeployment, **changes: Any) -> ModelDeployment:
    """The deployment as it would be with these fields of its status changed."""
    return replace(deployment, status=deployment.status.model_copy(update=changes))


def starting(deployment: ModelDeployment, now: datetime, pod: Object, steps: list[StartStep]) -> ModelDeploymentStatus:
    """A pod is on its way. An earlier failure stays on record until a run has lasted."""
    reason, message = _WAITING_FOR[steps[-1].name]
    message = _told_by_node(pod) or message
    failure = deployment.status.last_failure
    after = f"; before that: {failure.message}" if failure and failure.retry_at else ""
    return deployment.status.model_copy(
        update={
            "phase": Phase.STARTING,
            "endpoint": None,
            "expires_at": None,
            "pod_name": pod["metadata"]["name"],
            "memory_bytes": _memory_bytes(pod),
            "start_requested_at": deployment.status.start_requested_at or now,
            "start_steps": steps,
            "last_failure": failure if failure and failure.retry_at else None,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", "Starting", message + after),
                _condition(deployment, ConditionType.RECONCILING, "True", reason, message),
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def waiting_for_memory(deployment: ModelDeployment, message: str) -> ModelDeploymentStatus:
    """No pod yet: other models have the memory."""
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.PENDING,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", WAITING_FOR_MEMORY, message),
                _condition(deployment, ConditionType.RECONCILING, "True", WAITING_FOR_MEMORY, message),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def ready(
    deployment: ModelDeployment, pod: Object, endpoint: str, steps: list[StartStep], failure: Failure | None
) -> ModelDeploymentStatus:
    """The engine answers."""
    seconds = steps[-1].seconds
    return deployment.status.model_copy(
        update={
            "phase": Phase.READY,
            "endpoint": endpoint,
            "expires_at": expires_at(deployment),
            "pod_name": pod["metadata"]["name"],
            "memory_bytes": _memory_bytes(pod),
            "start_steps": steps,
            "last_failure": failure,
            "conditions": [
                _condition(deployment, ConditionType.READY, "True", ENGINE_READY, f"the engine answers; it took {seconds:.1f} s to start"),
                _condition(deployment, ConditionType.RECONCILING, "False", "Done", "nothing is left to do"),
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def sleeping(deployment: ModelDeployment) -> ModelDeploymentStatus:
    """Idle: no pod, and the next request makes one."""
    message = f"no request for {deployment.spec.idle.ttl_seconds} s; the next one starts it again"
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.SLEEPING,
            "last_failure": None,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", "Idle", message),
                _condition(deployment, ConditionType.RECONCILING, "False", "Idle", message),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def stalled(deployment: ModelDeployment, failure: Failure) -> ModelDeploymentStatus:
    """It cannot start, for this reason."""
    status = _without_pod(deployment) if failure.retry_at else deployment.status
    again = "the next start is tried later" if failure.retry_at else "it starts when that is mended"
    return status.model_copy(
        update={
            "phase": Phase.STALLED,
            "endpoint": None,
            "expires_at": None,
            "last_failure": failure,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", failure.reason, failure.message),
                _condition(deployment, ConditionType.RECONCILING, "False", "Stalled", again),
                _condition(deployment, ConditionType.STALLED, "True", failure.reason, failure.message),
                *_step_conditions(deployment, status.start_steps),
            ],
        }
    )


def next_attempt(deployment: ModelDeployment, failure: Failure | None, now: datetime) -> ModelDeploymentStatus:
    """The current attempt is over; the next one gets a pod of its own, at once or after a wait."""
    following = with_status(
        deployment, attempt=deployment.status.attempt + 1, start_steps=[], start_requested_at=None, last_failure=failure
    )
    if failure and failure.retry_at and failure.retry_at > now:
        return stalled(following, failure)
    message = failure.message if failure else "the pod was deleted; another takes its place"
    return _without_pod(following).model_copy(
        update={
            "phase": Phase.PENDING,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", failure.reason if failure else "PodDeleted", message),
                _condition(deployment, ConditionType.RECONCILING, "True", "Restarting", "another pod is made"),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def start_steps(deployment: ModelDeployment, pod: Object, now: datetime, *, answering: bool = False) -> list[StartStep]:
    """The steps of this start that are done: those on record, and those now seen for the first time."""
    requested = deployment.status.start_requested_at or now
    known = {step.name: step for step in deployment.status.start_steps}
    running = answering or is_running(pod)
    done = {
        POD_CREATED: True,
        POD_SCHEDULED: bool(pod["spec"].get("nodeName")) or running,
        ENGINE_STARTED: running,
        ENGINE_READY: answering,
    }
    seen = StartStep(name="", at=now, seconds=round((now - requested).total_seconds(), 3))
    return [known.get(name) or seen.model_copy(update={"name": name}) for name, is_done in done.items() if is_done]


def is_running(pod: Object) -> bool:
    """Whether the engine's container runs."""
    containers: list[Any] = pod.get("status", {}).get("containerStatuses", [])
    return any("running" in container.get("state", {}) for container in containers)


def engine_unavailable(spec: ModelDeploymentSpec, settings: Settings) -> PodFailure:
    """The failure of a deployment whose engine this operator has no image for."""
    available = [f"{backend} on {device}" for backend, devices in settings.engines.items() if backend in ENGINES for device in devices]
    message = f"this installation has no image for {spec.backend} on {spec.device}; it has: {', '.join(sorted(available)) or 'none'}"
    return PodFailure("EngineUnavailable", message, ended=False)


def memory_insufficient(reason: str) -> PodFailure:
    """The failure of a deployment that can never have the memory that it needs."""
    return PodFailure("MemoryInsufficient", f"{reason}; a smaller quantization or context_size needs less", ended=False)


def engine_args_refused(spec: ModelDeploymentSpec, settings: Settings) -> PodFailure | None:
    """The failure of a deployment that uses engine arguments which the administrator has not allowed; None where it uses none."""
    allowed = settings.engine_args.allowed.get(spec.backend, [])
    refused = refused_arguments(spec.engine_args or [], allowed)
    if not refused:
        return None
    message = (
        f"engineArgs: {', '.join(refused)} may not be used with {spec.backend}; the administrator allows: {', '.join(allowed) or 'none'}"
    )
    return PodFailure("EngineArgsNotAllowed", message, ended=False)


def deadline_exceeded(deployment: ModelDeployment, settings: Settings) -> PodFailure:
    """The failure of a start that took too long."""
    done = deployment.status.start_steps
    waited = _WAITING_FOR[done[-1].name][1] if done and done[-1].name in _WAITING_FOR else "nothing happened"
    return PodFailure("StartDeadlineExceeded", f"not ready after {settings.timing.start_deadline:.0f} s: {waited}", ended=True)


def _without_pod(deployment: ModelDeployment) -> ModelDeploymentStatus:
    return deployment.status.model_copy(
        update={
            "endpoint": None,
            "expires_at": None,
            "pod_name": None,
            "memory_bytes": None,
            "start_requested_at": None,
            "start_steps": [],
        }
    )


def _told_by_node(pod: Object) -> str:
    """What the node says of a container that it is about to start; mostly nothing."""
    containers: list[Any] = pod.get("status", {}).get("containerStatuses", [])
    messages: list[str] = [container.get("state", {}).get("waiting", {}).get("message") or "" for container in containers]
    return next(filter(None, messages), "")


def _memory_bytes(pod: Object) -> int | None:
    """What the pod was counted with."""
    counted = pod["metadata"].get("annotations", {}).get(MEMORY_ANNOTATION)
    return None if counted is None else int(counted)


def _step_conditions(deployment: ModelDeployment, steps: list[StartStep]) -> list[Condition]:
    names = {step.name for step in steps}
    reported = {
        ConditionType.POD_SCHEDULED: (POD_SCHEDULED, "a node was found", "no node yet"),
        ConditionType.ENGINE_STARTED: (ENGINE_STARTED, "the engine's process runs", "the engine's process does not run"),
    }
    return [
        _condition(deployment, kind, "True", step, yes) if step in names else _condition(deployment, kind, "False", "NotYet", no)
        for kind, (step, yes, no) in reported.items()
    ]


def _not_stalled(deployment: ModelDeployment) -> Condition:
    return _condition(deployment, ConditionType.STALLED, "False", "NotStalled", "nothing stands in the way")


def _condition(deployment: ModelDeployment, kind: ConditionType, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=deployment.generation)
