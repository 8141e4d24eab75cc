"""What can be known of nodes that Berth may not look at: from its own pods, and from what the scheduler says.

A node is known by what stands on it. It has the labels that those pods selected, and no more room than they hold. What
else is free there, only the scheduler knows. So a pod is made first, and room where the scheduler has named resources
of which no node has enough.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from berth_api.room.fits import plus
from berth_api.room.snapshot import (
    Amounts,
    PendingPod,
    Resident,
    ResidentState,
    RoomDemand,
    RoomNode,
    RoomSettings,
    RoomSnapshot,
    Taint,
    TolerationRule,
)


class StartsInSight:
    """The engines that start, and the pods that are about to get a node: the scheduler has not refused them.

    On which node one more would start is not known, so the limit of one node holds for all that are known together.
    """

    def __init__(self, snapshot: RoomSnapshot, settings: RoomSettings, nodes: int) -> None:
        """`nodes`: how many are known."""
        self._shared = settings.shared
        self._limit = None if settings.starts_per_node is None else settings.starts_per_node * max(1, nodes)
        self._shares_starting: frozenset[str] = frozenset()
        self.number = 0
        """How many start."""
        for resident in snapshot.residents:
            if resident.state is ResidentState.STARTING and not resident.hindered:
                self.count(resident.holds)
        for demand in snapshot.demands:
            if demand.pod is not None and demand.pod.refused is None:
                self.count(demand.needs[demand.pod.shape])

    def may_begin(self, need: Amounts) -> bool:
        """Whether one more engine may start, that needs this."""
        if self._limit is not None and self.number >= self._limit:
            return False
        return self._shares_starting.isdisjoint(need)

    def count(self, need: Amounts) -> None:
        """One more starts, that needs this."""
        self.number += 1
        self._shares_starting |= self._shared.intersection(need)


def known_nodes(residents: Sequence[Resident]) -> tuple[RoomNode, ...]:
    """The nodes of these models, full of them."""
    on_node: defaultdict[str, list[Resident]] = defaultdict(list)
    for resident in residents:
        on_node[resident.node].append(resident)
    return tuple(_known(name, models) for name, models in on_node.items())


def needed_for_certain(demand: RoomDemand, pod: PendingPod) -> Amounts:
    """What must become free for the pod: of the resources that the scheduler named, all that it needs.

    The scheduler says that there is less, and not how much less.
    """
    needs = demand.needs[pod.shape]
    return {resource: needs[resource] for resource in pod.insufficient if needs.get(resource, 0) > 0}


def as_known(demand: RoomDemand) -> RoomDemand:
    """The demand, with what its pod needs for certain."""
    if demand.pod is None or not demand.pod.insufficient:
        return demand
    return replace(
        demand, needs=(needed_for_certain(demand, demand.pod),), pod=replace(demand.pod, shape=0, refused=None)
    )


def _known(name: str, models: Sequence[Resident]) -> RoomNode:
    held: dict[str, int] = {}
    labels: dict[str, str] = {}
    for each in models:
        held = plus(held, each.holds)
        labels.update(each.node_selector)
    return RoomNode(name, held, labels, tuple(_possible_taint(rule) for rule in _tolerated_by_all(models)))


def _tolerated_by_all(models: Sequence[Resident]) -> list[TolerationRule]:
    """Only a taint that all of them tolerate can be the node's."""
    first, *others = models
    return [rule for rule in first.tolerations if all(rule in each.tolerations for each in others)]


def _possible_taint(rule: TolerationRule) -> Taint:
    return Taint(rule.key, rule.value, rule.effect or "NoSchedule")
