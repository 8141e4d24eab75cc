"""How much memory the GPUs have that a pod may get: pure. A label of the nodes says it, or a setting."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    """The largest GPU that a pod may get."""

    bytes: int
    """Of one."""
    where: str
    """For people."""


def allowed_gpu(
    nodes: Sequence[RoomNode] | None, pod: Object, device: DeviceSettings, count: int, *, autoscaled: bool = False
) -> AllowedGpu | None:
    """The largest GPU of which the pod may get `count`, on one node. None: there may be a larger one than is known.

    `nodes`: None where they are not known. `autoscaled`: others may come.
    """
    stated = quantity(MEMORY, device.memory) if device.memory is not None else 0
    by_setting = AllowedGpu(stated, "as devices.cuda.memory says") if stated else None
    if nodes is None or autoscaled:
        return by_setting
    spec, resource = pod["spec"], device.resource_name
    tolerations = toleration_rules(spec)
    found = [
        _gpu_of(node) or by_setting
        for node in nodes
        if may_go_to(node, spec.get("nodeSelector") or {}, tolerations)
        and (resource is None or node.allocatable.get(resource, 0) >= count)
    ]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return max(known, key=lambda each: (each.bytes, each.where), default=None)


def _gpu_of(node: RoomNode) -> AllowedGpu | None:
    label = node.labels.get(MEMORY_LABEL, "")
    size = int(label) * _MIB if label.isascii() and label.isdigit() else 0
    return AllowedGpu(size, f"on node {node.name}") if size else None
