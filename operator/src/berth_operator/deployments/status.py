"""The status of a deployment in each state of its life, and the words it is told in: pure.

Each function returns the whole status that the operator owns, from the stored one.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from berth_api.activity import expires_at
from berth_api.conditions import (
    ENGINE_NOT_ANSWERING,
    IMAGE_CHANGED,
    PLANNED_DISRUPTIONS,
    SPEC_CHANGED,
    Condition,
    ConditionStatus,
    ConditionType,
    condition_of,
)
from berth_api.model_deployment import (
    NAME_LENGTH,
    Failure,
    ModelDeployment,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    Phase,
    StartStep,
)
from berth_cluster.cluster import MEMORY_ANNOTATION, Object
from berth_operator.deployments.failure import PodFailure
from berth_operator.deployments.made_from import Difference
from berth_operator.deployments.parts import annotations_of, container_statuses, number, state_of
from berth_operator.engines import ENGINES
from berth_operator.engines.arguments import refused_arguments
from berth_operator.settings import Settings

POD_CREATED = "PodCreated"
POD_SCHEDULED = "PodScheduled"
ENGINE_STARTED = "EngineStarted"
ENGINE_READY = "EngineReady"
WAITING_FOR_MEMORY = "WaitingForMemory"

_WAITING_FOR = {
    POD_CREATED: ("WaitingForNode", "the engine waits for a place to run"),
    POD_SCHEDULED: ("WaitingForContainer", "the node pulls the image and creates the container"),
    ENGINE_STARTED: ("LoadingModel", "the engine loads the model"),
}
"""By the last step that is done: what comes next."""


def with_status(deployment: ModelDeployment, **changes: Any) -> ModelDeployment:
    """The deployment as it would be with these fields of its status changed."""
    return replace(deployment, status=deployment.status.model_copy(update=changes))


def starting(deployment: ModelDeployment, now: datetime, pod: Object, steps: list[StartStep]) -> ModelDeploymentStatus:
    """A pod is on its way.

    An earlier failure stays on record until a run has lasted; who took a pod away, till then.
    """
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
                _condition(
                    deployment,
                    ConditionType.READY,
                    "False",
                    disruption_before(deployment) or "Starting",
                    message + after,
                ),
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
                _condition(
                    deployment,
                    ConditionType.READY,
                    "True",
                    ENGINE_READY,
                    f"the engine answers; it took {seconds:.1f} s to start",
                ),
                _condition(deployment, ConditionType.RECONCILING, "False", "Done", "nothing is left to do"),
                _not_stalled(deployment),
                *_step_conditions(deployment, steps),
            ],
        }
    )


def unresponsive(
    deployment: ModelDeployment, pod: Object, steps: list[StartStep], failure: Failure | None, why: str | None
) -> ModelDeploymentStatus:
    """The engine was ready and gives no answer. `why` is None where nothing has been heard since that was said."""
    before = condition_of(deployment.status.conditions, ConditionType.READY)
    message = why or (before.message if before else "the engine does not answer")
    held = f"{message}; new requests wait until it answers, and those under way go on"
    return deployment.status.model_copy(
        update={
            "phase": Phase.UNRESPONSIVE,
            "endpoint": None,
            "expires_at": expires_at(deployment),
            "pod_name": pod["metadata"]["name"],
            "memory_bytes": _memory_bytes(pod),
            "start_steps": steps,
            "last_failure": failure,
            "conditions": [
                _condition(
                    deployment, ConditionType.READY, "False", ENGINE_NOT_ANSWERING, message if why is None else held
                ),
                _condition(
                    deployment,
                    ConditionType.RECONCILING,
                    "True",
                    ENGINE_NOT_ANSWERING,
                    "the engine is asked until it answers",
                ),
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


def waiting_to_retry(deployment: ModelDeployment, failure: Failure) -> ModelDeploymentStatus:
    """An attempt has failed, and the next one is not due yet."""
    update = {
        "phase": Phase.STALLED,
        "last_failure": failure,
        "conditions": _stalled(deployment, failure, "the next start is tried later"),
    }
    return _without_pod(deployment).model_copy(update=update)


def held_up(
    deployment: ModelDeployment, pod: Object | None, why: PodFailure, record: Failure, now: datetime
) -> ModelDeploymentStatus:
    """It cannot start for this reason, which may go away. `record`: what is on record as the last failure."""
    steps = start_steps(deployment, pod, now) if pod else []
    started: dict[str, Any] = {}
    if pod:
        requested = deployment.status.start_requested_at or now
        started = {
            "pod_name": pod["metadata"]["name"],
            "memory_bytes": _memory_bytes(pod),
            "start_requested_at": requested,
            "start_steps": steps,
        }
    return _without_pod(deployment).model_copy(
        update={
            **started,
            "phase": Phase.STALLED,
            "last_failure": record,
            "conditions": _stalled(deployment, why, "it starts when that is mended", steps),
        }
    )


def restarting(
    following: ModelDeployment, why: PodFailure, pod: Object | None = None, now: datetime | None = None
) -> ModelDeploymentStatus:
    """The attempt before is over, for this reason, and another pod is made: this one, where that is done by now."""
    update: dict[str, Any] = {"start_requested_at": following.status.start_requested_at}
    if pod and now:
        update |= {"pod_name": pod["metadata"]["name"], "start_steps": [StartStep(name=POD_CREATED, at=now, seconds=0)]}
    return _with_another_pod(following, why, "the engine is started again").model_copy(update=update)


def taken_away(deployment: ModelDeployment, why: PodFailure) -> ModelDeploymentStatus:
    """Somebody took the pod away that had only just been made: another one is made in a moment."""
    kept = {"start_requested_at": deployment.status.start_requested_at, "start_steps": deployment.status.start_steps}
    return _with_another_pod(deployment, why, "the engine is started again in a moment").model_copy(update=kept)


def up_to_date(deployment: ModelDeployment, outdated: Difference | None) -> Condition:
    """Whether the engine that runs is as the spec and the settings want it now. Where none runs, the next one is."""
    if outdated is None:
        return _condition(
            deployment, ConditionType.UP_TO_DATE, "True", "UpToDate", "nothing runs that was made from anything else"
        )
    what = f"since the engine was started this has changed: {outdated.what}; it is applied as soon as no request needs the engine"
    if outdated.reason not in (SPEC_CHANGED, IMAGE_CHANGED):
        what = f"another engine like this one could not be started: {outdated.what}; the one that runs is left as it is"
    return _condition(deployment, ConditionType.UP_TO_DATE, "False", outdated.reason, what)


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
    return any("running" in state_of(container) for container in container_statuses(pod))


def engine_unavailable(spec: ModelDeploymentSpec, settings: Settings) -> PodFailure:
    """The failure of a deployment whose engine this operator has no image for."""
    available = [
        f"{backend} on {device}"
        for backend, devices in settings.engines.items()
        if backend in ENGINES
        for device in devices
    ]
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
    message = f"engineArgs: {', '.join(refused)} may not be used with {spec.backend}; the administrator allows: {', '.join(allowed) or 'none'}"
    return PodFailure("EngineArgsNotAllowed", message, ended=False)


def name_too_long(deployment: ModelDeployment) -> PodFailure:
    """The failure of a deployment whose name cannot be a label: it can have no pod. There can be no new ones."""
    message = (
        f"metadata.name has {len(deployment.name)} characters, and at most {NAME_LENGTH} can be a label of its pods:"
        " delete this ModelDeployment, and make it again under a shorter name"
    )
    return PodFailure("NameTooLong", message, ended=False)


def pod_name_taken(pod: Object) -> PodFailure:
    """The failure of an attempt whose pod's name somebody else's pod has."""
    name = pod["metadata"]["name"]
    return PodFailure(
        "PodNameTaken", f"there is a pod {name} that is not this deployment's: another name is tried", ended=True
    )


def deadline_exceeded(deployment: ModelDeployment, settings: Settings, holdup: PodFailure | None) -> PodFailure:
    """The failure of a start that took too long. `holdup`: what held it up at the end, where anything did."""
    reconciling = condition_of(deployment.status.conditions, ConditionType.RECONCILING)
    waited = reconciling.message if reconciling and reconciling.status == "True" else "nothing happened"
    waited = holdup.message if holdup else waited
    return PodFailure(
        "StartDeadlineExceeded", f"not ready after {settings.timing.start_deadline:.0f} s: {waited}", ended=True
    )


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
    waiting: list[dict[str, Any]] = [state_of(container).get("waiting") or {} for container in container_statuses(pod)]
    return next((each["message"] for each in waiting if each.get("message")), "")


def _memory_bytes(pod: Object) -> int | None:
    """What the pod was counted with."""
    return number(annotations_of(pod).get(MEMORY_ANNOTATION))


def _with_another_pod(deployment: ModelDeployment, why: PodFailure, what: str) -> ModelDeploymentStatus:
    """There is no engine, and there will be one."""
    return _without_pod(deployment).model_copy(
        update={
            "phase": Phase.PENDING,
            "conditions": [
                _condition(deployment, ConditionType.READY, "False", why.reason, why.message),
                _condition(deployment, ConditionType.RECONCILING, "True", "Restarting", what),
                _not_stalled(deployment),
                *_step_conditions(deployment, []),
            ],
        }
    )


def _stalled(
    deployment: ModelDeployment, why: Failure | PodFailure, then: str, steps: list[StartStep] | None = None
) -> list[Condition]:
    return [
        _condition(deployment, ConditionType.READY, "False", why.reason, why.message),
        _condition(deployment, ConditionType.RECONCILING, "False", "Stalled", then),
        _condition(deployment, ConditionType.STALLED, "True", why.reason, why.message),
        *_step_conditions(deployment, steps or []),
    ]


def disruption_before(deployment: ModelDeployment) -> str | None:
    """Why there is no engine, where somebody took it away and the one that follows is not ready yet."""
    ready = condition_of(deployment.status.conditions, ConditionType.READY)
    return ready.reason if ready and ready.status == "False" and ready.reason in PLANNED_DISRUPTIONS else None


def _step_conditions(deployment: ModelDeployment, steps: list[StartStep]) -> list[Condition]:
    names = {step.name for step in steps}
    reported = {
        ConditionType.POD_SCHEDULED: (POD_SCHEDULED, "a node was found", "no node yet"),
        ConditionType.ENGINE_STARTED: (
            ENGINE_STARTED,
            "the engine's process runs",
            "the engine's process does not run",
        ),
    }
    return [
        _condition(deployment, kind, "True", step, yes)
        if step in names
        else _condition(deployment, kind, "False", "NotYet", no)
        for kind, (step, yes, no) in reported.items()
    ]


def _not_stalled(deployment: ModelDeployment) -> Condition:
    return _condition(deployment, ConditionType.STALLED, "False", "NotStalled", "nothing stands in the way")


def _condition(
    deployment: ModelDeployment, kind: ConditionType, status: ConditionStatus, reason: str, message: str
) -> Condition:
    return Condition(
        type=kind, status=status, reason=reason, message=message, observed_generation=deployment.generation
    )
