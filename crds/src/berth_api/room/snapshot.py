"""What the decision about room is made from: nodes, the models on them, those that are wanted, and the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto

from berth_api.room.asks import Asks

Amounts = Mapping[str, int]
"""How much of each resource, by its name in Kubernetes: `nvidia.com/gpu` in devices, `memory` in bytes, `cpu` in
millicores; a shared device has a resource name of its own."""


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a node, unless they tolerate it."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True, slots=True)
class TolerationRule:
    """Which taints a pod tolerates, as Kubernetes reads it."""

    key: str = ""
    """Empty: every key, where `exists`."""
    value: str = ""
    effect: str = ""
    """Empty: every effect."""
    exists: bool = False
    """The value does not matter."""


@dataclass(frozen=True, slots=True)
class RoomNode:
    """A node, or one machine, or one of its devices."""

    name: str
    allocatable: Amounts
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    schedulable: bool = True
    """False: not ready, or cordoned. Nothing starts there, and nothing is evicted there for anybody."""
    foreign: Amounts = field(default_factory=dict[str, int])
    """What pods hold there that are not among the residents."""


class ResidentState(Enum):
    """Why a model keeps what it holds."""

    IDLE = auto()
    """No reason: it may be evicted."""
    BUSY = auto()
    """It has requests in hand, which are never cut."""
    STARTING = auto()
    """Its engine starts, because somebody waits for it."""
    LEAVING = auto()
    """It ends, and what it holds will soon be free."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that has a node."""

    name: str
    node: str
    holds: Amounts
    """What it asked for, whether its engine uses all of it or not."""
    state: ResidentState
    since: datetime
    """When its engine became ready; while it starts, when that began."""
    last_used: datetime
    priority: int = 0
    """Only a demand of the same or a higher priority has it evicted."""
    pinned: bool = False
    """It is never evicted."""
    endless: bool = False
    """Its TTL is endless: it is evicted after all others."""
    closed: bool = False
    """New requests for it wait, so that it becomes idle."""
    start_seconds: float | None = None
    """The median of its measured starts. None: not measured yet."""
    asks: Asks | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    """The labels that its node has for certain: all that is known of them where Berth may not look at nodes."""
    tolerations: tuple[TolerationRule, ...] = ()
    min_residency: timedelta | None = None
    """Its own. None: as the settings say."""
    max_residency: timedelta | None = None
    """Its own. None: as the settings say."""
    hindered: bool = False
    """Its engine does not run yet, and something keeps it from that, such as an image that cannot be pulled: it counts
    as none that starts."""


@dataclass(frozen=True, slots=True)
class PendingPod:
    """A pod that has no node yet."""

    shape: int
    """Which of the demand's shapes it was made with, as an index."""
    refused: str | None = None
    """What the scheduler said when it found no node. None: it has not refused the pod."""
    insufficient: tuple[str, ...] = ()
    """The resources that the scheduler named. Empty although it refused: something else keeps the pod off all nodes."""


@dataclass(frozen=True, slots=True)
class RoomDemand:
    """A model that is wanted and has no node: of its name there are residents only that leave."""

    name: str
    needs: tuple[Amounts, ...]
    """The shapes that it can have: the largest context first. At least one."""
    since: datetime
    """When it was first asked for."""
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[TolerationRule, ...] = ()
    priority: int = 0
    """A higher one is served first."""
    waited_for: bool = True
    """Somebody still waits for it."""
    pod: PendingPod | None = None


@dataclass(frozen=True, slots=True)
class ForeignPod:
    """A pod that is not Berth's and has no node yet: it may take what an eviction frees."""

    needs: Amounts
    node_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[TolerationRule, ...] = ()


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """All that is known at one moment."""

    nodes: tuple[RoomNode, ...] | None
    """None: Berth may not look at nodes. Then it knows those on which its own pods are, and what the scheduler says."""
    residents: tuple[Resident, ...] = ()
    demands: tuple[RoomDemand, ...] = ()
    foreign_waiting: tuple[ForeignPod, ...] = ()


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """How the decision is made."""

    min_residency: timedelta = timedelta(0)
    """A model that has been ready for less is not evicted. So two models take turns once in that time at most."""
    max_residency: timedelta = timedelta(minutes=10)
    """A busy model that has been ready for longer yields when another one waits."""
    patience: timedelta = timedelta(seconds=5)
    """A demand that has waited for less has no busy model closed."""
    starts_per_node: int | None = None
    """How many engines may start on a node at once. None: any number."""
    shared: frozenset[str] = frozenset()
    """Resources of which several models have a share of one device: of those that need one, one starts at a time on a
    node, and one in all where nodes are not known."""
    default_start_seconds: float = 30.0
    """How long the start of a model takes that was never measured."""
    autoscaled: bool = False
    """Nodes are added for pods that find none: nothing is refused for its size, and the first demand of each queue
    gets its pod before there is room."""

    def stays(self, resident: Resident) -> timedelta:
        """How long a model stays at least once it is ready."""
        return self.min_residency if resident.min_residency is None else resident.min_residency

    def yields(self, resident: Resident) -> timedelta:
        """How long after it is ready a busy model yields: never less than `stays`."""
        longest = self.max_residency if resident.max_residency is None else resident.max_residency
        return max(longest, self.stays(resident))
