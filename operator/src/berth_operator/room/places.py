"""Where models can stand: the nodes of a cluster, or the memory of one machine and of its GPU."""

from collections.abc import Mapping
from typing import Protocol

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_api.room.snapshot import Amounts, ForeignPod, RoomNode
from berth_cluster.cluster import MEMORY_ANNOTATION, Object
from berth_operator.objects.parts import annotations_of, number
from berth_operator.room.amounts import MEMORY, pod_amounts
from berth_operator.room.estimates import MemoryEstimate, with_context
from berth_operator.room.shapes import engine_shapes
from berth_operator.settings import DeviceSettings

_NAMES = {Device.CPU: "this machine", Device.CUDA: "its GPU"}
"""What people read where there is one machine."""


class Places(Protocol):
    """What there is, and what models take of it."""

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now. None: Berth may not look at them, or has not yet."""
        ...

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        ...

    def node_of(self, device: Device, node_name: str | None) -> str | None:
        """Where a pod stands. `node_name`: what its spec says. None: nowhere yet."""
        ...

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have, the largest context first. Empty: nothing is counted for it."""
        ...

    def holds(self, pod: Object) -> Amounts:
        """What a pod holds that was made."""
        ...


class NodePlaces:
    """The nodes of a cluster, which Berth does not look at: the scheduler alone knows what is free."""

    def __init__(self, devices: Mapping[Device, DeviceSettings] | None = None) -> None:
        self._devices = devices or {}

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now; None where they are not known."""
        return None

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        return ()

    def node_of(self, device: Device, node_name: str | None) -> str | None:
        """Where a pod stands; None where it has no place yet."""
        return node_name

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have, with its requests."""
        return engine_shapes(spec, pod, estimate, self._devices, None)

    def holds(self, pod: Object) -> Amounts:
        """What the pod holds."""
        return pod_amounts(pod)


class MachinePlaces:
    """One machine: what models of each device may take of its memory, or of its GPU's, in bytes."""

    def __init__(self, budget: Mapping[Device, int]) -> None:
        self._nodes = tuple(RoomNode(_NAMES[device], {MEMORY: size}) for device, size in budget.items())
        self._devices = frozenset(budget)

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now; None where they are not known."""
        return self._nodes

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        return ()

    def node_of(self, device: Device, node_name: str | None) -> str | None:
        """Where a pod stands; None where it has no place yet."""
        return _NAMES[device]

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have."""
        if estimate is None or spec.device not in self._devices:
            return ()
        return tuple(with_context(pod, choice, estimate.trained_context_size) for choice in estimate.choices)

    def holds(self, pod: Object) -> Amounts:
        """What the pod holds."""
        size = number(annotations_of(pod).get(MEMORY_ANNOTATION))
        return {MEMORY: size} if size else {}
