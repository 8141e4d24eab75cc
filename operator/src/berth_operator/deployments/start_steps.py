"""The steps of a start, from the pod's creation to the engine's first answer: pure."""

from datetime import datetime

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ENGINE_READY, ModelDeployment, StartStep
from berth_cluster.cluster import Object
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import has_node, is_running

POD_CREATED = "PodCreated"
POD_SCHEDULED = "PodScheduled"
ENGINE_STARTED = "EngineStarted"

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


def has_been_ready(deployment: ModelDeployment) -> bool:
    """Whether the engine of the present attempt has been ready."""
    return any(step.name == ENGINE_READY for step in deployment.status.start_steps)


def deadline_exceeded(deployment: ModelDeployment, deadline_seconds: float, obstacle: Cause | None) -> Cause:
    """The failure of a start that took too long. `obstacle`: what held it up at the end, where anything did."""
    reconciling = condition_of(deployment.status.conditions, ConditionType.RECONCILING)
    waited = reconciling.message if reconciling and reconciling.status == "True" else "nothing happened"
    message = f"not ready after {deadline_seconds:.0f} s: {obstacle.message if obstacle else waited}"
    return Cause("StartDeadlineExceeded", message, ended=True)
