"""Where models can stand: the nodes of a cluster, or the memory of one machine and of its GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_api.room.snapshot import Amounts, ForeignPod, RoomNode
from berth_cluster.cluster import MEMORY_ANNOTATION, Object
from berth_operator.objects.parts import annotations_of, number
from berth_operator.room.amounts import MEMORY, pod_amounts
from berth_operator.room.estimates import MemoryEstimate, with_context
from berth_operator.room.shapes import engine_shapes
from berth_operator.settings import DeviceSettings

_MACHINE = "this machine"
"""What people read where there is one machine."""

_DEVICE_LABEL, _GPU_LABEL = "berth.dev/device", "berth.dev/gpu"
"""Keep a model off the memory of the other device, and say on which GPU it is: one machine has no scheduler."""


@dataclass(frozen=True, slots=True)
class MachineGpu:
    """A GPU of one machine."""

    name: str
    """What people read."""
    bytes: int
    """What models may take of its memory."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that have an engine see this one alone."""


class Places(Protocol):
    """What there is, and what models take of it."""

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now. None: Berth may not look at them, or has not yet."""
        ...

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        ...

    def node_of(self, device: Device, node_name: str | None, selector: Mapping[str, str]) -> str | None:
        """Where a pod stands. `node_name` and `selector`: what its spec says. None: nowhere yet."""
        ...

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have, the largest context first. Empty: nothing is counted for it."""
        ...

    def placed(self, pod: Object, node: str | None) -> Object:
        """The pod as it is made. `node`: where it was found to have room."""
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

    def node_of(self, device: Device, node_name: str | None, selector: Mapping[str, str]) -> str | None:
        """Where a pod stands; None where it has no place yet."""
        return node_name

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have, with its requests."""
        return engine_shapes(spec, pod, estimate, self._devices, None)

    def placed(self, pod: Object, node: str | None) -> Object:
        """The pod as it is made: the scheduler has the last word."""
        return pod

    def holds(self, pod: Object) -> Amounts:
        """What the pod holds."""
        return pod_amounts(pod)


class MachinePlaces:
    """One machine: what models may take of its memory, and of that of each of its GPUs, in bytes.

    A model is on one GPU. One that asks for several is not counted: its engine sees them all.
    """

    def __init__(self, memory: int, gpus: Sequence[MachineGpu] = ()) -> None:
        self._gpus = {gpu.name: gpu for gpu in gpus}
        self._nodes = (
            RoomNode(_MACHINE, {MEMORY: memory}, {_DEVICE_LABEL: Device.CPU.value}),
            *(RoomNode(gpu.name, {MEMORY: gpu.bytes}, _labels(gpu)) for gpu in gpus),
        )

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now; None where they are not known."""
        return self._nodes

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        return ()

    def node_of(self, device: Device, node_name: str | None, selector: Mapping[str, str]) -> str | None:
        """Where a pod stands; None where it has no place yet."""
        first = next(iter(self._gpus), None)
        if device is Device.CPU or first is None:
            return _MACHINE
        return selector.get(_GPU_LABEL) or first

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have."""
        if estimate is None or (spec.device is Device.CUDA and not self._gpus):
            return ()
        selected = _with_spec(pod, nodeSelector={_DEVICE_LABEL: spec.device.value})
        return tuple(with_context(selected, choice, estimate.trained_context_size) for choice in estimate.choices)

    def placed(self, pod: Object, node: str | None) -> Object:
        """The pod as it is made: on the GPU with room for it, which is the only one that its engine sees."""
        gpu = self._gpus.get(node or "")
        if gpu is None:
            return pod
        variables = [{"name": name, "value": value} for name, value in gpu.environment.items()]
        [engine, *others] = pod["spec"]["containers"]
        engine = {**engine, "env": [*engine.get("env", []), *variables]}
        selector = {**pod["spec"].get("nodeSelector", {}), _GPU_LABEL: gpu.name}
        return _with_spec(pod, nodeSelector=selector, containers=[engine, *others])

    def holds(self, pod: Object) -> Amounts:
        """What the pod holds."""
        size = number(annotations_of(pod).get(MEMORY_ANNOTATION))
        return {MEMORY: size} if size else {}


def _labels(gpu: MachineGpu) -> Mapping[str, str]:
    return {_DEVICE_LABEL: Device.CUDA.value, _GPU_LABEL: gpu.name}


def _with_spec(pod: Object, **values: Any) -> Object:
    return {**pod, "spec": {**pod["spec"], **values}}
