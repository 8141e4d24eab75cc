"""The nodes of a cluster, and what all pods hold of them: a watched view, of little for each object.

Looking at nodes and at the pods of all namespaces takes a ClusterRole.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_api.room.snapshot import Amounts, ForeignPod, RoomNode, Taint
from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    NODES,
    PODS_EVERYWHERE,
    Cluster,
    Kind,
    Object,
    WatchEvent,
)
from berth_cluster.following import follow
from berth_operator.objects.parts import condition, is_deleting, labels_of, status_of
from berth_operator.objects.pods import has_ended
from berth_operator.room.amounts import amounts, pod_amounts
from berth_operator.room.estimates import MemoryEstimate
from berth_operator.room.shapes import engine_shapes
from berth_operator.room.standing import toleration_rules
from berth_operator.settings import DeviceSettings


@dataclass(frozen=True, slots=True)
class _Held:
    """What a pod that is not an engine of this namespace holds, or waits for."""

    node: str | None
    needs: Amounts
    waiting: ForeignPod | None


class NodeWatch:
    """Implements `Places` for a cluster whose nodes may be looked at. `namespace`: that of the engines' pods."""

    def __init__(
        self, cluster: Cluster, namespace: str, devices: Mapping[Device, DeviceSettings] | None = None
    ) -> None:
        self._devices = devices or {}
        self._cluster = cluster
        self._namespace = namespace
        self._nodes: dict[str, RoomNode] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        self._listed: set[str] = set()
        self._known: tuple[RoomNode, ...] | None = None

    async def run(self) -> None:
        """Keeps the view up to date, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(NODES))
            group.create_task(self._follow(PODS_EVERYWHERE))

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """The nodes as they are now; None where they are not known."""
        if len(self._listed) < 2:
            return None
        if self._known is None:
            foreign: defaultdict[str, dict[str, int]] = defaultdict(dict)
            for held in self._held.values():
                if held.node:
                    of_node = foreign[held.node]
                    for resource, amount in held.needs.items():
                        of_node[resource] = of_node.get(resource, 0) + amount
            self._known = tuple(_with_foreign(node, foreign.get(node.name, {})) for node in self._nodes.values())
        return self._known

    def foreign_waiting(self) -> tuple[ForeignPod, ...]:
        """Pods of others that have no node yet."""
        return tuple(held.waiting for held in self._held.values() if held.waiting)

    def node_of(self, device: Device, node_name: str | None, selector: Mapping[str, str]) -> str | None:
        """Where a pod stands; None where it has no place yet."""
        return node_name

    def shapes(self, spec: ModelDeploymentSpec, pod: Object, estimate: MemoryEstimate | None) -> tuple[Object, ...]:
        """The pod in each shape that it can have, with its requests."""
        return engine_shapes(spec, pod, estimate, self._devices, self.nodes())

    def placed(self, pod: Object, node: str | None) -> Object:
        """The pod as it is made: the scheduler has the last word."""
        return pod

    def holds(self, pod: Object) -> Amounts:
        """What the pod holds."""
        return pod_amounts(pod)

    async def _follow(self, kind: Kind) -> None:
        async for change in follow(self._cluster, kind):
            if isinstance(change, WatchEvent):
                self._see(kind, change.object, gone=change.type == "DELETED")
            else:
                (self._nodes if kind == NODES else self._held).clear()
                for item in change.items:
                    self._see(kind, item, gone=False)
                self._listed.add(kind.plural)
            self._known = None

    def _see(self, kind: Kind, item: Object, *, gone: bool) -> None:
        metadata = item["metadata"]
        if kind == NODES:
            if gone:
                self._nodes.pop(metadata["name"], None)
            else:
                self._nodes[metadata["name"]] = room_node(item)
            return
        key = metadata["namespace"], metadata["name"]
        held = None if gone or self._is_engine(item) else _held(item)
        if held:
            self._held[key] = held
        else:
            self._held.pop(key, None)

    def _is_engine(self, pod: Object) -> bool:
        return pod["metadata"]["namespace"] == self._namespace and LABEL_DEPLOYMENT in labels_of(pod)


def room_node(node: Object) -> RoomNode:
    """A node of a cluster: what it has, and whom it takes. Pure."""
    spec: Object = node.get("spec") or {}
    taints: list[dict[str, str]] = spec.get("taints") or []
    ready = condition(node, "Ready")
    return RoomNode(
        name=node["metadata"]["name"],
        allocatable=amounts(status_of(node).get("allocatable") or {}),
        labels=labels_of(node),
        taints=tuple(
            Taint(each["key"], each.get("value") or "", each["effect"])
            for each in taints
            if each["effect"] != "PreferNoSchedule"
        ),
        schedulable=not spec.get("unschedulable") and ready is not None and ready["status"] == "True",
    )


def _held(pod: Object) -> _Held | None:
    """None: the pod has ended, or asks for nothing that is counted."""
    needs: Amounts = {} if has_ended(pod) else pod_amounts(pod)
    if not needs:
        return None
    spec: Object = pod["spec"]
    if node := spec.get("nodeName"):
        return _Held(node, needs, None)
    if is_deleting(pod):
        return None
    return _Held(None, needs, ForeignPod(needs, spec.get("nodeSelector") or {}, toleration_rules(spec)))


def _with_foreign(node: RoomNode, foreign: Amounts) -> RoomNode:
    return RoomNode(node.name, node.allocatable, node.labels, node.taints, node.schedulable, foreign)
