"""The event that tells of a turn in a deployment's life: what `kubectl describe` and `kubectl events` show as its story."""

from datetime import datetime

from berth_api.cluster import MODEL_DEPLOYMENTS, Object
from berth_api.conditions import Condition, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, ModelDeploymentStatus
from berth_api.schema import format_timestamp

_REPORTER = "berth-operator"
_MESSAGE_LENGTH = 1024
"""The API server refuses a longer message."""


def make_event(deployment: ModelDeployment, planned: ModelDeploymentStatus, now: datetime) -> Object | None:
    """The event of the change from the stored status to the planned one; None where the reason for it being as it is stays."""
    before = condition_of(deployment.status.conditions, ConditionType.READY)
    after = condition_of(planned.conditions, ConditionType.READY)
    if after is None or (before and (before.status, before.reason) == (after.status, after.reason)):
        return None
    moment = format_timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{deployment.name}."},
        "involvedObject": {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            "name": deployment.name,
            "namespace": deployment.namespace,
            "uid": deployment.uid,
        },
        "type": "Warning" if _is_failure(planned, after) else "Normal",
        "reason": after.reason,
        "message": after.message[:_MESSAGE_LENGTH],
        "source": {"component": _REPORTER},
        "reportingComponent": _REPORTER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _is_failure(planned: ModelDeploymentStatus, ready: Condition) -> bool:
    return planned.last_failure is not None and planned.last_failure.reason == ready.reason
