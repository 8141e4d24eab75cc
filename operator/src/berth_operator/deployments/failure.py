"""Why a pod does not do its work, told from its status: pure, and in words that a person understands."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from berth_api.conditions import POD_DELETED
from berth_cluster.cluster import Object
from berth_operator.deployments.parts import changed_at, condition, container_statuses, is_deleting, state_of, status_of

MESSAGE_LENGTH = 4096
"""Of an engine's output: its last lines, where the reason is. The kubelet itself keeps 2048 bytes or 80 lines."""

_IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
}
_CONTAINER_REASONS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PostStartHookError",
}

_LAUNCHER_MESSAGE = re.compile(r"\A\s*(?P<reason>[A-Z][A-Za-z]{3,62}): (?P<message>\S.*)\Z", re.DOTALL)
"""The launcher says `Reason: message` as the whole of its termination message; engines' logs do not look like that."""

_GPU_FULL = re.compile(
    r"CUDA out of memory|cudaMalloc failed: out of memory|less than desired GPU memory utilization|OutOfMemoryError"
)
"""What llama.cpp, torch and vLLM say where a GPU has too little memory for a model."""

_NO_GPU = re.compile(r"invalid device: (?:CUDA|ROCm)\d")
"""What llama.cpp says where it does not find a GPU that it has to use."""

_PUT_OUT = {"Evicted", "Preempting", "NodeShutdown", "Terminated"}
"""Why a kubelet ends a pod for its node's sake: too little of something, a more important pod, a shutdown."""

_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    9: "SIGKILL",
    11: "SIGSEGV",
    15: "SIGTERM",
}


@dataclass(frozen=True, slots=True)
class PodFailure:
    """A pod that does not do its work."""

    reason: str
    message: str
    ended: bool
    """The pod is over and must be replaced. Otherwise it is held up and may still recover by itself."""


def disruption(pod: Object) -> PodFailure | None:
    """Why somebody took this pod away that may have been well; None where nobody did."""
    status = status_of(pod)
    if is_deleting(pod):
        told = condition(pod, "DisruptionTarget")
        why = f" ({told.get('reason', '')}: {told.get('message', '')})" if told and told["status"] == "True" else ""
        return PodFailure(POD_DELETED, f"the pod was deleted{why}", ended=True)
    if status.get("phase") == "Failed" and status.get("reason") in _PUT_OUT:
        return _put_out(status)
    return None


def pod_failure(
    pod: Object, now: datetime, unschedulable_grace: timedelta, process: str = "engine"
) -> PodFailure | None:
    """Why this pod does not do its work; None where nothing speaks against it.

    `process` is what people call that which runs in it.
    """
    status = status_of(pod)
    if status.get("phase") == "Failed" and status.get("reason") in _PUT_OUT:
        return _put_out(status)  # before what its containers say, which ended because of it
    containers: list[dict[str, Any]] = [*(status.get("initContainerStatuses") or []), *container_statuses(pod)]
    for container in containers:
        state = state_of(container)
        if "terminated" in state and (
            state["terminated"].get("exitCode") != 0 or status.get("phase") in ("Failed", "Succeeded")
        ):
            return _ended(pod, state["terminated"], process)
        if waiting := state.get("waiting"):
            failure = _held_up(container, waiting)
            if failure:
                return failure
    if status.get("phase") in ("Failed", "Succeeded"):
        reason = status.get("reason") or "PodEnded"
        return PodFailure(reason, f"the pod ended: {status.get('message') or status['phase']}", ended=True)
    return _unschedulable(pod, now, unschedulable_grace)


def unschedulable_since(pod: Object) -> datetime | None:
    """Since when the scheduler has found no node for the pod; None where it has not said so."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled["status"] != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    return changed_at(scheduled)


def _put_out(status: dict[str, Any]) -> PodFailure:
    return PodFailure(
        status["reason"], f"the node put the pod out: {status.get('message') or status['reason']}", ended=True
    )


def _ended(pod: Object, terminated: dict[str, Any], process: str) -> PodFailure:
    message = (terminated.get("message") or "").strip()
    if said := _LAUNCHER_MESSAGE.match(message):
        return PodFailure(said["reason"], said["message"][:MESSAGE_LENGTH], ended=True)
    last_lines = f"; its last lines:\n{message[-MESSAGE_LENGTH:]}" if message else ""
    if terminated.get("reason") == "OOMKilled":
        limit = _memory_limit(pod)
        allowed = f"its memory limit of {limit}" if limit else "the memory of its node"
        return PodFailure(
            "OutOfMemory", f"the {process} needed more than {allowed} and was killed{last_lines}", ended=True
        )
    if _GPU_FULL.search(message):
        return PodFailure(
            "DeviceOutOfMemory", f"the GPU has too little memory free for the {process}{last_lines}", ended=True
        )
    if _NO_GPU.search(message):
        where = "is the driver in the container (devices.cuda.runtimeClassName), and are there as many GPUs?"
        return PodFailure("DeviceNotFound", f"the {process} finds no GPU: {where}{last_lines}", ended=True)
    code = terminated.get("exitCode", 0)
    number = terminated.get("signal") or (code - 128 if 128 < code < 160 else 0)
    if number:
        name = _SIGNALS.get(number, f"signal {number}")
        reason = f"{process.capitalize()}{'Killed' if number in (2, 9, 15) else 'Crashed'}"
        return PodFailure(reason, f"the {process} was ended by {name}{last_lines}", ended=True)
    return PodFailure(f"{process.capitalize()}Exited", f"the {process} exited with code {code}{last_lines}", ended=True)


def _held_up(container: dict[str, Any], waiting: dict[str, Any]) -> PodFailure | None:
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    if reason in _IMAGE_REASONS:
        detail = message or reason
        return PodFailure(
            "ImagePullFailed", f"the image {container.get('image')} cannot be pulled: {detail}", ended=False
        )
    if reason in _CONTAINER_REASONS:
        return PodFailure("ContainerNotCreated", f"the container cannot be created ({reason}): {message}", ended=False)
    return None


def _unschedulable(pod: Object, now: datetime, grace: timedelta) -> PodFailure | None:
    began = unschedulable_since(pod)
    if began is None or now - began < grace:
        return None
    scheduled = condition(pod, "PodScheduled") or {}
    return _no_node(pod, scheduled.get("message", ""))


def _no_node(pod: Object, scheduler_says: str) -> PodFailure:
    """The scheduler counts nodes; who waits for a GPU should read that it is a GPU that he waits for."""
    limits: dict[str, Any] = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    devices = [
        f"{count} {name}" for name, count in limits.items() if "/" in name and f"Insufficient {name}" in scheduler_says
    ]
    if devices:
        message = f"no node has {' and '.join(devices)} free: it starts when a pod that holds one has gone, or a node with more comes"
        return PodFailure("DevicesUnavailable", f"{message} (scheduler: {scheduler_says})", ended=False)
    return PodFailure("Unschedulable", f"no node can take the pod: {scheduler_says}", ended=False)


def _memory_limit(pod: Object) -> str | None:
    limits: dict[str, Any] = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return limits.get("memory")
