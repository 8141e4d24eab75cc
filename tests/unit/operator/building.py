"""Deployments and pods in every state, for the operator's tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

from berth_api.cluster import Object
from berth_api.model_deployment import ModelDeployment
from berth_operator.settings import Settings

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
POD_UID = "99999999-8888-7777-6666-555555555555"
SETTINGS = Settings.model_validate(
    {"engines": {"llamacpp": {"cpu": {"image": "berth/llamacpp:1"}, "cuda": {"image": "berth/llamacpp-cuda:1"}}}}
)


def at(seconds: float) -> str:
    """A timestamp this many seconds from NOW."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


def deployment(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> ModelDeployment:
    return ModelDeployment.parse(
        {
            "metadata": {
                "name": "smol",
                "uid": UID,
                "resourceVersion": "7",
                "generation": 3,
                "creationTimestamp": at(-1000),
                **metadata,
            },
            "spec": {"model": "/models/SmolLM2", "backend": "llamacpp", "device": "cpu", **(spec or {})},
            "status": status or {},
        }
    )


def loaded(seconds_ago: float, **more: Any) -> dict[str, Any]:
    """The status of a deployment that has been ready for this long."""
    steps = [
        {"name": name, "at": at(-seconds_ago), "seconds": 1} for name in ("PodCreated", "PodScheduled", "EngineStarted", "EngineReady")
    ]
    ready = {
        "phase": "Ready",
        "podName": "smol-1",
        "loadedAt": at(-seconds_ago),
        "startRequestedAt": at(-seconds_ago - 1),
        "startSteps": steps,
    }
    return {**ready, **more}


def not_ready_since(seconds: float) -> dict[str, Any]:
    """The condition of a deployment that has not been ready since this many seconds from NOW."""
    return {"type": "Ready", "status": "False", "reason": "Starting", "message": "", "lastTransitionTime": at(seconds)}


def lease(keep_until: float, in_flight: int = 0) -> dict[str, Any]:
    return {"lastActivity": at(-5), "keepUntil": at(keep_until), "inFlight": in_flight}


def failure(at_seconds: float, count: int = 1, retry: float | None = None) -> dict[str, Any]:
    retry_at = {} if retry is None else {"retryAt": at(retry)}
    return {"reason": "EngineExited", "message": "it exited", "at": at(at_seconds), "count": count, **retry_at}


def pod(attempt: int = 1, node: str | None = "node1", status: dict[str, Any] | None = None, **metadata: Any) -> Object:
    return {
        "metadata": {"name": f"smol-{attempt}", "uid": POD_UID, "ownerReferences": [{"uid": UID}], **metadata},
        "spec": {"containers": [{"name": "engine", "resources": {"limits": {"memory": "2Gi"}}}], **({"nodeName": node} if node else {})},
        "status": status or {"phase": "Pending"},
    }


def running_pod(attempt: int = 1, **metadata: Any) -> Object:
    return pod(
        attempt,
        status={"phase": "Running", "podIP": "10.0.0.5", "containerStatuses": [{"state": {"running": {"startedAt": at(-1)}}}]},
        **metadata,
    )


def ended_pod(attempt: int = 1, **terminated: Any) -> Object:
    return pod(attempt, status={"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1, **terminated}}}]})
