"""Why a pod does not do its work, read from its status: pure, and in words that a person understands."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from berth_api.conditions import DEVICES_UNAVAILABLE, POD_DELETED, UNSCHEDULABLE
from berth_cluster.cluster import Object
from berth_operator.objects.parts import condition, is_deleting, status_of
from berth_operator.objects.pods import container_statuses, has_ended, limits_of, state_of, unschedulable_since

MESSAGE_LENGTH = 4096
"""Characters that are kept of an engine's output: its last lines. The kubelet itself keeps 2048 bytes or 80 lines."""

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
"""The launcher writes `Reason: message` as its whole termination message. Logs of engines do not look like that."""

_GPU_FULL = re.compile(
    r"CUDA out of memory|cudaMalloc failed: out of memory|less than desired GPU memory utilization|OutOfMemoryError"
)
"""What llama.cpp, torch and vLLM write where a GPU has too little memory for a model."""

_NO_GPU = re.compile(r"invalid device: (?:CUDA|ROCm)\d")
"""What llama.cpp writes where it does not find a GPU that it has to use."""

_PERHAPS_THE_MODELS = {"EngineExited", "EngineCrashed"}
"""How an engine ends whose model cannot be loaded."""

_ENDED_BY_NODE = {"Evicted", "Preempting", "NodeShutdown", "Terminated"}
"""Reasons of a kubelet that ends a pod for its node's sake: too little memory, a more important pod, a shutdown."""

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
class Cause:
    """Why a pod or a Job does not do its work."""

    reason: str
    """One CamelCase word, for programs."""
    message: str
    """For people."""
    ended: bool
    """The pod or the Job is over. Otherwise it is blocked, and may recover by itself."""


def disruption(pod: Object) -> Cause | None:
    """Why somebody took away this pod, whose engine may have been well; None where nobody did."""
    if is_deleting(pod):
        target = condition(pod, "DisruptionTarget")
        reported = target and target["status"] == "True"
        why = f" ({target.get('reason', '')}: {target.get('message', '')})" if target and reported else ""
        return Cause(POD_DELETED, f"the pod was deleted{why}", ended=True)
    return _ended_by_node(pod)


def pod_failure(pod: Object, now: datetime, unschedulable_grace: timedelta, process: str = "engine") -> Cause | None:
    """Why this pod does not do its work; None where nothing is known against it.

    `process` is what people call the program in the pod.
    """
    if ended_by_node := _ended_by_node(pod):
        return ended_by_node  # before what its containers report: they ended because of it
    if of_container := _failure_of_container(pod, process):
        return of_container
    if has_ended(pod):
        status = status_of(pod)
        reason = status.get("reason") or "PodEnded"
        return Cause(reason, f"the pod ended: {status.get('message') or status['phase']}", ended=True)
    return _unschedulable(pod, now, unschedulable_grace)


def may_be_the_models(pod: Object) -> bool:
    """Whether the pod's engine has ended as one does whose model cannot be loaded."""
    cause = None if _ended_by_node(pod) else _failure_of_container(pod, "engine")
    return cause is not None and cause.reason in _PERHAPS_THE_MODELS


def with_fault(cause: Cause, fault: str | None) -> Cause:
    """The cause, or in its place the fault of the model's files that an engine's last lines do not tell a person.

    `fault`: why no engine could load the model. None: nothing is known against it.
    """
    if fault is None or cause.reason not in _PERHAPS_THE_MODELS:
        return cause
    return Cause("WrongFormat", fault, ended=True)


def _failure_of_container(pod: Object, process: str) -> Cause | None:
    """What the first container reports that has ended, or that cannot be made; None where none does."""
    status = status_of(pod)
    containers: list[dict[str, Any]] = [*(status.get("initContainerStatuses") or []), *container_statuses(pod)]
    for container in containers:
        state = state_of(container)
        if "terminated" in state and (state["terminated"].get("exitCode") != 0 or has_ended(pod)):
            return _process_ended(pod, state["terminated"], process)
        if (waiting := state.get("waiting")) and (failure := _container_blocked(container, waiting)):
            return failure
    return None


def _ended_by_node(pod: Object) -> Cause | None:
    status = status_of(pod)
    if status.get("phase") != "Failed" or status.get("reason") not in _ENDED_BY_NODE:
        return None
    return Cause(status["reason"], f"the node put the pod out: {status.get('message') or status['reason']}", ended=True)


def _process_ended(pod: Object, terminated: dict[str, Any], process: str) -> Cause:
    message = (terminated.get("message") or "").strip()
    if by_launcher := _LAUNCHER_MESSAGE.match(message):
        return Cause(by_launcher["reason"], by_launcher["message"][:MESSAGE_LENGTH], ended=True)
    last_lines = f"; its last lines:\n{message[-MESSAGE_LENGTH:]}" if message else ""
    reason, text = _lack_of_memory_or_gpu(pod, terminated, message, process) or _exit(terminated, process)
    return Cause(reason, text + last_lines, ended=True)


def _lack_of_memory_or_gpu(
    pod: Object, terminated: dict[str, Any], message: str, process: str
) -> tuple[str, str] | None:
    """Reason and message where the process lacked memory or a GPU; None otherwise."""
    if terminated.get("reason") == "OOMKilled":
        limit = limits_of(pod).get("memory")
        allowed = f"its memory limit of {limit}" if limit else "the memory of its node"
        return "OutOfMemory", f"the {process} needed more than {allowed} and was killed"
    if _GPU_FULL.search(message):
        return "DeviceOutOfMemory", f"the GPU has too little memory free for the {process}"
    if _NO_GPU.search(message):
        where = "is the driver in the container (devices.cuda.runtimeClassName), and are there as many GPUs?"
        return "DeviceNotFound", f"the {process} finds no GPU: {where}"
    return None


def _exit(terminated: dict[str, Any], process: str) -> tuple[str, str]:
    """Reason and message of a process that a signal ended, or that exited by itself."""
    code = terminated.get("exitCode", 0)
    signal = terminated.get("signal") or (code - 128 if 128 < code < 160 else 0)
    if not signal:
        return f"{process.capitalize()}Exited", f"the {process} exited with code {code}"
    reason = f"{process.capitalize()}{'Killed' if signal in (2, 9, 15) else 'Crashed'}"
    return reason, f"the {process} was ended by {_SIGNALS.get(signal, f'signal {signal}')}"


def _container_blocked(container: dict[str, Any], waiting: dict[str, Any]) -> Cause | None:
    reason, message = waiting.get("reason", ""), waiting.get("message") or ""
    if reason in _IMAGE_REASONS:
        detail = message or reason
        return Cause("ImagePullFailed", f"the image {container.get('image')} cannot be pulled: {detail}", ended=False)
    if reason in _CONTAINER_REASONS:
        return Cause("ContainerNotCreated", f"the container cannot be created ({reason}): {message}", ended=False)
    return None


def _unschedulable(pod: Object, now: datetime, grace: timedelta) -> Cause | None:
    since = unschedulable_since(pod)
    if since is None or now - since < grace:
        return None
    return _no_node(pod, (condition(pod, "PodScheduled") or {}).get("message", ""))


def _no_node(pod: Object, scheduler_says: str) -> Cause:
    """The scheduler speaks of nodes. Whoever waits for a GPU should read that no GPU is free."""
    devices = [
        f"{count} {name}"
        for name, count in limits_of(pod).items()
        if "/" in name and f"Insufficient {name}" in scheduler_says
    ]
    if devices:
        message = (
            f"no node has {' and '.join(devices)} free: it starts when a pod that holds one has gone,"
            f" or a node with more comes (scheduler: {scheduler_says})"
        )
        return Cause(DEVICES_UNAVAILABLE, message, ended=False)
    return Cause(UNSCHEDULABLE, f"no node can take the pod: {scheduler_says}", ended=False)
