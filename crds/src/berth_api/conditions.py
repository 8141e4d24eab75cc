"""Conditions as Kubernetes has them: one statement of each type, with a reason and a message."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from berth_api.schema import Schema, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The conditions of a ModelDeployment. Ready, Reconciling and Stalled mean what kstatus means by them."""

    READY = "Ready"
    """Whether it is as declared. True also of one that is asleep, which a request wakes: the phase says which."""
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    UP_TO_DATE = "UpToDate"
    """Whether the engine was made from the present spec and settings. False: it is replaced when it is idle."""
    POD_SCHEDULED = "PodScheduled"
    ENGINE_STARTED = "EngineStarted"


POD_DELETED = "PodDeleted"
SPEC_CHANGED = "SpecChanged"
IMAGE_CHANGED = "ImageChanged"
ENGINE_NOT_ANSWERING = "EngineNotAnswering"
UNSCHEDULABLE = "Unschedulable"
DEVICES_UNAVAILABLE = "DevicesUnavailable"
WAITING_FOR_ROOM = "WaitingForRoom"
SCHEDULING_GATED = "SchedulingGated"

PLANNED_DISRUPTIONS: Mapping[str, str] = {
    POD_DELETED: "its pod was deleted",
    "Evicted": "its pod was evicted from the node",
    "Preempting": "its pod made way for one of the node's own",
    "NodeShutdown": "its node is being shut down",
    "Terminated": "its node is being shut down",
    SPEC_CHANGED: "its spec was changed",
    IMAGE_CHANGED: "its image was changed",
}
"""Reasons, and what each says of the engine that has ended: the condition's message is about the next one by then.

Reasons of a condition Ready that is False because somebody took the engine's pod away, and not through the engine.

These are a drain, `kubectl delete pod`, an eviction by the kubelet (Evicted, Preempting), the shutdown of a node
(Terminated, NodeShutdown) and a rollout. The reason stays until the next engine is ready. A request that was cut by one
of these before its answer began may be sent again. A request that was cut otherwise may have killed its engine:
`status.lastFailure` says how the engine ended.
"""


class Condition(Schema):
    """One statement about a resource, as `metav1.Condition`."""

    type: str = Field(max_length=64, description="Type of the statement, such as Ready or Stalled.")
    status: ConditionStatus = Field(description="Whether the statement holds: True, False or Unknown.")
    reason: str = Field(max_length=128, description="Why, as one CamelCase word for programs.")
    message: str = Field(default="", max_length=32768, description="Why, in a sentence for people.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that the statement was made about."
    )
    last_transition_time: Timestamp | None = Field(default=None, description="When `status` last changed.")


def condition_of(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """The condition of this type; None where there is none."""
    return next((condition for condition in conditions if condition.type == kind), None)


def merge_conditions(stored: Iterable[Condition], stated: Iterable[Condition], now: datetime) -> list[Condition]:
    """The stored conditions, replaced by the stated ones of the same type, in the stored order; new types come last.

    The transition time changes only with the status.
    """
    merged = {condition.type: condition for condition in stored}
    for condition in stated:
        before = merged.get(condition.type)
        unchanged = before is not None and before.status == condition.status
        since = before.last_transition_time if unchanged and before else now
        merged[condition.type] = condition.model_copy(update={"last_transition_time": since})
    return list(merged.values())
