"""The pod of an engine in each shape that it can have in a cluster, with what it requests of its node: pure.

What follows from an estimate comes after the pod's digests are made: a better one replaces no engine that runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_api.room.snapshot import RoomNode
from berth_cluster.cluster import Object
from berth_operator.engines.vllm import with_cache_bytes
from berth_operator.room.amounts import CPU, MEMORY, quantity
from berth_operator.room.engine_memory import vllm_gpu_cache_bytes
from berth_operator.room.estimates import ContextChoice, MemoryEstimate, with_context
from berth_operator.room.gpus import AllowedGpu, allowed_gpu
from berth_operator.settings import DeviceSettings

_MIB = 1 << 20


def engine_shapes(
    spec: ModelDeploymentSpec,
    pod: Object,
    estimate: MemoryEstimate | None,
    devices: Mapping[Device, DeviceSettings],
    nodes: Sequence[RoomNode] | None,
) -> tuple[Object, ...]:
    """The pod in each shape, the largest context first. `nodes`: None where they are not known."""
    device = devices.get(spec.device, DeviceSettings())
    if estimate is None:
        return (with_requests(pod, None, device.cpu_request),)
    gpu = allowed_gpu(nodes, pod, device, spec.devices) if spec.device is Device.CUDA else None
    if gpu is not None and gpu.shares > 1:
        pod = _within_share(spec, pod, estimate, gpu)
    choices = _choices(spec, pod, estimate, gpu.bytes if gpu else None, sees_nodes=nodes is not None)
    trained = estimate.trained_context_size
    return tuple(
        with_requests(with_context(pod, choice, trained), choice.machine_bytes, device.cpu_request)
        for choice in choices
    )


def with_requests(pod: Object, memory_bytes: int | None, cpu: str | int | None) -> Object:
    """The pod with these requests, where it states neither a request nor a limit of the same."""
    spec: Object = pod["spec"]
    [engine, *others] = spec["containers"]
    resources: Object = engine.get("resources") or {}
    limits: dict[str, Any] = resources.get("limits") or {}
    requests: dict[str, Any] = resources.get("requests") or {}
    wanted = {MEMORY: memory_bytes and f"{ceil(memory_bytes / _MIB)}Mi", CPU: cpu}
    added = {name: value for name, value in wanted.items() if value and name not in {*limits, *requests}}
    if not added:
        return pod
    container: Object = {**engine, "resources": {**resources, "requests": {**requests, **added}}}
    return {**pod, "spec": {**spec, "containers": [container, *others]}}


def _within_share(spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate, gpu: AllowedGpu) -> Object:
    """The pod of vLLM with a cache for keys and values that its share of any GPU has room for."""
    if spec.backend is not Backend.VLLM or estimate.weights_bytes is None:
        return pod
    cache = vllm_gpu_cache_bytes(spec, estimate.weights_bytes, gpu.least or gpu.bytes)
    if cache is None:
        return pod
    [engine, *others] = pod["spec"]["containers"]
    container: Object = {**engine, "args": with_cache_bytes(engine["args"], cache)}
    return {**pod, "spec": {**pod["spec"], "containers": [container, *others]}}


def _choices(
    spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate, gpu: int | None, *, sees_nodes: bool
) -> Sequence[ContextChoice]:
    """Those among which the room on the nodes decides."""
    choices = estimate.choices
    if len(choices) == 1:
        return choices
    if spec.device is Device.CUDA:  # no pod can request memory of a GPU
        bound = None if gpu is None else gpu * spec.devices
        return (next((one for one in choices if bound is None or (one.bytes or 0) <= bound), choices[-1]),)
    stated = _stated_memory(pod)
    if stated is not None:
        return (next((one for one in choices if (one.machine_bytes or 0) <= stated), choices[-1]),)
    if sees_nodes:
        return choices
    # How much there is on a node, its engine alone finds out. What it then takes is at least this.
    return (replace(choices[-1], bytes=None, context_size=None),)


def _stated_memory(pod: Object) -> int | None:
    """Bytes that the pod states for its engine: its limit, or else its request."""
    resources: Object = pod["spec"]["containers"][0].get("resources") or {}
    for part in ("limits", "requests"):
        stated: dict[str, Any] = resources.get(part) or {}
        if MEMORY in stated:
            return quantity(MEMORY, stated[MEMORY]) or None
    return None
