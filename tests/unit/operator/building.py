"""Deployments and pods in every state, for the operator's tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

from berth_api.model_deployment import Backend, Device, ModelDeployment
from berth_cluster.cluster import Object
from berth_operator.deployments.health import ProbeHistory
from berth_operator.engines import ENGINES
from berth_operator.resources import make_pod
from berth_operator.settings import OperatorSettings

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
POD_UID = "99999999-8888-7777-6666-555555555555"
SETTINGS = OperatorSettings.model_validate(
    {"engines": {"llamacpp": {"cpu": {"image": "berth/llamacpp:1"}, "cuda": {"image": "berth/llamacpp-cuda:1"}}}}
)


def at(seconds: float) -> str:
    """A timestamp this many seconds from NOW."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


def deployment(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
) -> ModelDeployment:
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
        {"name": name, "at": at(-seconds_ago), "seconds": 1}
        for name in ("PodCreated", "PodScheduled", "EngineStarted", "EngineReady")
    ]
    ready = {
        "phase": "Ready",
        "podName": "smol-11111111-1",
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


def pod_name(attempt: int = 1) -> str:
    return f"smol-11111111-{attempt}"


def pod(
    attempt: int = 1,
    node: str | None = "node1",
    status: dict[str, Any] | None = None,
    made_of: ModelDeployment | None = None,
    settings: OperatorSettings = SETTINGS,
    **metadata: Any,
) -> Object:
    """A pod as the API server has it. `made_of`: the deployment as it was when the pod was made."""
    made = make_pod(
        made_of or deployment(), ENGINES[Backend.LLAMACPP], settings.engines[Backend.LLAMACPP][Device.CPU], settings
    )
    spec = {**made["spec"], **({"nodeName": node} if node else {})}
    spec["containers"] = [{**made["spec"]["containers"][0], "resources": {"limits": {"memory": "2Gi"}}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **made["metadata"],
            "name": pod_name(attempt),
            "uid": POD_UID,
            "creationTimestamp": at(-100),
            "annotations": {**made["metadata"]["annotations"], **metadata.pop("annotations", {})},
            **metadata,
        },
        "spec": spec,
        "status": status or {"phase": "Pending"},
    }


def running(ready: str | None = None, ready_since: float = -1, containers_ready: str | None = None) -> dict[str, Any]:
    """The status of a pod whose engine runs. `ready`: what the kubelet or the node controller says; None: nothing."""
    conditions = [
        {"type": kind, "status": value, "reason": "ContainersNotReady", "lastTransitionTime": at(ready_since)}
        for kind, value in (("Ready", ready), ("ContainersReady", containers_ready or ready))
        if value
    ]
    states = [{"name": "engine", "state": {"running": {"startedAt": at(-1)}}}]
    return {"phase": "Running", "podIP": "10.0.0.5", "containerStatuses": states, "conditions": conditions}


def running_pod(attempt: int = 1, **more: Any) -> Object:
    return pod(attempt, status=running(), **more)


def ended_pod(attempt: int = 1, **terminated: Any) -> Object:
    status = {
        "phase": "Failed",
        "containerStatuses": [{"name": "engine", "state": {"terminated": {"exitCode": 1, **terminated}}}],
    }
    return pod(attempt, status=status)


def answering(seconds_ago: float = 0, pod: str = POD_UID) -> ProbeHistory:
    """The pod's engine answered so long ago, which was the last question."""
    moment = NOW - timedelta(seconds=seconds_ago)
    return ProbeHistory(pod, moment, moment)


def silent(seconds: float, pod: str = POD_UID, *, heard: bool = True) -> ProbeHistory:
    """The pod's engine has given no answer for so long. `heard`: it had given one before."""
    moment = NOW - timedelta(seconds=seconds)
    return ProbeHistory(pod, moment, moment if heard else None, "no answer within 5 s")
