"""The Kubernetes event of a change in a resource's life, as `kubectl describe` and `kubectl events` show it.

There is one for each reason of a resource: what happens again has the same name, and is counted up.
"""

import hashlib
from datetime import datetime

from berth_api.conditions import Condition, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, ModelDeploymentStatus, Phase
from berth_api.model_download import ModelDownload, ModelDownloadStatus
from berth_api.schema import format_timestamp
from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, Kind, Object

_REPORTER = "berth-operator"
_MESSAGE_LENGTH = 1024
"""The API server refuses a longer message."""


def make_event(deployment: ModelDeployment, planned: ModelDeploymentStatus, now: datetime) -> Object | None:
    """The event of the change from the stored status to the planned one; None where the reason stays the same."""
    ready = _changed(deployment.status.conditions, planned.conditions)
    if ready is None:
        return None
    failed = planned.last_failure is not None and planned.last_failure.reason == ready.reason
    bad = failed or planned.phase is Phase.UNRESPONSIVE or _is_stalled(planned.conditions)
    return _event(MODEL_DEPLOYMENTS, deployment, ready, bad, now)


def make_download_event(download: ModelDownload, planned: ModelDownloadStatus, now: datetime) -> Object | None:
    """The event of the change from the stored status to the planned one; None where the reason stays the same."""
    ready = _changed(download.status.conditions, planned.conditions)
    if ready is None:
        return None
    return _event(MODEL_DOWNLOADS, download, ready, _is_stalled(planned.conditions), now)


def _is_stalled(conditions: list[Condition]) -> bool:
    stalled = condition_of(conditions, ConditionType.STALLED)
    return bool(stalled and stalled.status == "True")


def _changed(before: list[Condition], after: list[Condition]) -> Condition | None:
    """The new condition Ready; None where neither its status nor its reason changes."""
    old, new = condition_of(before, ConditionType.READY), condition_of(after, ConditionType.READY)
    return None if new is None or (old and (old.status, old.reason) == (new.status, new.reason)) else new


def _event(kind: Kind, subject: ModelDeployment | ModelDownload, ready: Condition, bad: bool, now: datetime) -> Object:
    moment = format_timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": _name(subject, ready.reason)},
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
        },
        "type": "Warning" if bad else "Normal",
        "reason": ready.reason,
        "message": ready.message[:_MESSAGE_LENGTH],
        "source": {"component": _REPORTER},
        "reportingComponent": _REPORTER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _name(subject: ModelDeployment | ModelDownload, reason: str) -> str:
    """The same for one reason of this very resource, and another one for its successor of the same name."""
    return f"{subject.name}.{hashlib.sha256(f'{subject.uid}/{reason}'.encode()).hexdigest()[:16]}"
