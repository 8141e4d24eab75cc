"""The steps of a start, from the pod's creation to the engine's first answer: pure."""

from datetime import datetime

from berth_api.conditions import SCHEDULING_GATED, ConditionType, condition_of
from berth_api.model_deployment import ENGINE_READY, ModelDeployment, StartStep
from berth_cluster.cluster import Object
from berth_operator.objects.parts import labels_of
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import gates_of, has_node, is_running

POD_CREATED = "PodCreated"
POD_SCHEDULED = "PodScheduled"
ENGINE_STARTED = "EngineStarted"

_KUEUE = "kueue.x-k8s.io/admission"
_KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"

_NEXT = {
    POD_CREATED: ("WaitingForNode", "the engine waits for a place to run"),
    POD_SCHEDULED: ("WaitingForContainer", "the node pulls the image and creates the container"),
    ENGINE_STARTED: ("LoadingModel", "the engine loads the model"),
}
"""What comes after each step: a reason for programs, and a message for people."""


def steps_done(deployment: ModelDeployment, pod: Object, now: datetime, *, answering: bool = False) -> list[StartStep]:
    """The steps of this start that are done: those in the status, and those that are seen for the first time."""
    requested = deployment.status.start_requested_at or now
    known = {step.name: step for step in deployment.status.start_steps}
    running = answering or is_running(pod)
    done = {
        POD_CREATED: True,
        POD_SCHEDULED: has_node(pod) or running,
        ENGINE_STARTED: running,
        ENGINE_READY: answering,
    }
    new = StartStep(name="", at=now, seconds=round((now - requested).total_seconds(), 3))
    return [known.get(name) or new.model_copy(update={"name": name}) for name, is_done in done.items() if is_done]


def pod_created(at: datetime) -> list[StartStep]:
    """The steps of a start whose pod has just been created."""
    return [StartStep(name=POD_CREATED, at=at, seconds=0)]


def next_step(steps: list[StartStep]) -> tuple[str, str]:
    """What the start waits for after these steps, of which there is one at least: a reason and a message."""
    return _NEXT[steps[-1].name]


def held_back(pod: Object) -> tuple[str, str] | None:
    """Who keeps the scheduler from the pod, as Kueue does: a reason and a message. None where nobody does."""
    gates = gates_of(pod)
    if not gates:
        return None
    if _KUEUE in gates:
        queue = labels_of(pod).get(_KUEUE_QUEUE, "")
        return SCHEDULING_GATED, f"Kueue has not admitted its pod yet, which waits in the queue {queue}"
    which = f"the scheduling gate{'s' if len(gates) > 1 else ''} {' and '.join(gates)}"
    return SCHEDULING_GATED, f"its pod may not be scheduled yet: {which} must be taken off it"


def was_held_back(deployment: ModelDeployment) -> bool:
    """Whether the stored status says that the scheduler was kept from its pod."""
    reconciling = condition_of(deployment.status.conditions, ConditionType.RECONCILING)
    return bool(reconciling and reconciling.status == "True" and reconciling.reason == SCHEDULING_GATED)


def released_at(deployment: ModelDeployment) -> datetime | None:
    """Since when the scheduler is no longer kept from the pod: its start counts from then, after it was created.

    None: it was never kept from it.
    """
    requested = deployment.status.start_requested_at
    created = next((step.at for step in deployment.status.start_steps if step.name == POD_CREATED), None)
    return requested if requested and created and requested > created else None


def has_been_ready(deployment: ModelDeployment) -> bool:
    """Whether the engine of the present attempt has been ready."""
    return any(step.name == ENGINE_READY for step in deployment.status.start_steps)


def deadline_exceeded(deployment: ModelDeployment, deadline_seconds: float, obstacle: Cause | None) -> Cause:
    """The failure of a start that took too long. `obstacle`: what held it up at the end, where anything did."""
    reconciling = condition_of(deployment.status.conditions, ConditionType.RECONCILING)
    waited = reconciling.message if reconciling and reconciling.status == "True" else "nothing happened"
    message = f"not ready after {deadline_seconds:.0f} s: {obstacle.message if obstacle else waited}"
    return Cause("StartDeadlineExceeded", message, ended=True)
