"""How much memory the GPUs have that a pod may get: pure. A label of the nodes says it, or a setting.

Where each GPU is advertised several times, a pod gets that part of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth_api.room.fits import may_go_to
from berth_api.room.snapshot import RoomNode
from berth_cluster.cluster import Object
from berth_operator.room.amounts import MEMORY, quantity
from berth_operator.room.standing import toleration_rules
from berth_operator.settings import DeviceSettings

MEMORY_LABEL = "nvidia.com/gpu.memory"
"""MiB of each GPU of the node, as NVIDIA's GPU feature discovery says."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class AllowedGpu:
    """The largest GPU that a pod may get, or a share of it."""

    bytes: int
    """Of one GPU, or of the share."""
    where: str
    """For people."""
    shares: int = 1
    """How many share one GPU."""
    least: int | None = None
    """The same of the smallest GPU that a pod may get, where they differ."""


def stated_gpu_bytes(device: DeviceSettings) -> int | None:
    """What a pod gets of the memory of one GPU by the settings; None where they say nothing of it."""
    stated = quantity(MEMORY, device.memory) if device.memory is not None else 0
    return stated // device.shares or None


def allowed_gpu(
    nodes: Sequence[RoomNode] | None, pod: Object, device: DeviceSettings, count: int, *, autoscaled: bool = False
) -> AllowedGpu | None:
    """The largest GPU of which the pod may get `count`, on one node. None: there may be a larger one than is known.

    `nodes`: None where they are not known. `autoscaled`: others may come.
    """
    stated = stated_gpu_bytes(device)
    by_setting = AllowedGpu(stated, "as devices.cuda.memory says", device.shares) if stated else None
    if nodes is None or autoscaled:
        return by_setting
    spec, resource = pod["spec"], device.resource_name
    tolerations = toleration_rules(spec)
    found = [
        _gpu_of(node, device.shares) or by_setting
        for node in nodes
        if may_go_to(node, spec.get("nodeSelector") or {}, tolerations)
        and (resource is None or node.allocatable.get(resource, 0) >= count)
    ]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    if not known:
        return None
    largest, least = max(known, key=lambda each: (each.bytes, each.where)), min(each.bytes for each in known)
    return largest if least == largest.bytes else replace(largest, least=least)


def _gpu_of(node: RoomNode, shares: int) -> AllowedGpu | None:
    label = node.labels.get(MEMORY_LABEL, "")
    size = int(label) * _MIB // shares if label.isascii() and label.isdigit() else 0
    return AllowedGpu(size, f"on node {node.name}", shares) if size else None
