"""Conditions in Kubernetes' sense:
one current statement a type, with a reason for programs and a message for people.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from berth_api.schema import Schema, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The conditions of a ModelDeployment. Ready, Reconciling and Stalled mean what kstatus means by them."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    UP_TO_DATE = "UpToDate"
    """Whether the engine was made from the present spec and settings. False: it is replaced when nobody uses it."""
    POD_SCHEDULED = "PodScheduled"
    ENGINE_STARTED = "EngineStarted"


POD_DELETED = "PodDeleted"
SPEC_CHANGED = "SpecChanged"
IMAGE_CHANGED = "ImageChanged"
ENGINE_NOT_ANSWERING = "EngineNotAnswering"

PLANNED_DISRUPTIONS = frozenset(
    {POD_DELETED, "Evicted", "Preempting", "NodeShutdown", "Terminated", SPEC_CHANGED, IMAGE_CHANGED},
)
"""Reasons of a condition Ready that is False because somebody took the engine's pod away, not by the engine's doing.

A drain, `kubectl delete pod`, an eviction by the kubelet (Evicted, Preempting), a node that is shut down (Terminated,
NodeShutdown), a rollout. The reason stands until the engine that follows is ready. A request that was cut by this, and
of whose answer nothing has come, may be sent again; one that was cut otherwise may be what killed its engine, and
`status.lastFailure` says so.
"""


class Condition(Schema):
    """One statement about a resource, as `metav1.Condition`."""

    type: str = Field(max_length=64, description="What the statement is about, such as Ready or Stalled.")
    status: ConditionStatus = Field(description="Whether the statement holds: True, False or Unknown.")
    reason: str = Field(max_length=128, description="Why, as one CamelCase word for programs.")
    message: str = Field(default="", max_length=32768, description="Why, in a sentence for people.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that the statement was made about."
    )
    last_transition_time: Timestamp | None = Field(default=None, description="When `status` last changed.")


def condition_of(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """The condition of this type, or None where none was ever stated."""
    return next((condition for condition in conditions if condition.type == kind), None)


def merge_conditions(stored: Iterable[Condition], stated: Iterable[Condition], now: datetime) -> list[Condition]:
    """The stored conditions with the stated ones put in place, in the stored order, new ones last.

    The transition time moves only where the status really changed.
    """
    merged = {condition.type: condition for condition in stored}
    for condition in stated:
        before = merged.get(condition.type)
        unchanged = before is not None and before.status == condition.status
        since = before.last_transition_time if unchanged and before else now
        merged[condition.type] = condition.model_copy(update={"last_transition_time": since})
    return list(merged.values())
