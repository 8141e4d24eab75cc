"""The accounts of one decision: what is free on each node, and what may become free, as more and more is given away."""

from collections.abc import Iterable
from datetime import datetime

from berth_api.room.asks import asks_per_second
from berth_api.room.fits import fits, may_go_to, plus
from berth_api.room.snapshot import Amounts, Resident, ResidentState, RoomNode, RoomSettings, RoomSnapshot
from berth_api.room.victims import Candidate

BUSY_RELUCTANCE = 1000
"""More than a node has idle models with an endless TTL, each of which counts 1."""


class Standing:
    """One node's account."""

    __slots__ = ("candidates", "coming", "foreign_waiting", "free", "node", "promised", "residents", "starting")

    def __init__(self, node: RoomNode) -> None:
        self.node = node
        self.free = dict(node.allocatable)
        """Less than nothing where more is held, or given away, than there is."""
        for resource, amount in node.foreign.items():
            self.free[resource] = self.free.get(resource, 0) - amount
        self.coming: dict[str, int] = {}
        """What leaving models hold, and those that were promised in this decision."""
        self.residents: list[Resident] = []
        self.starting = 0
        self.candidates: list[Candidate] = []
        """The models that may be evicted or closed, and are not promised to anybody yet."""
        self.promised: set[str] = set()
        """Those that were."""
        self.foreign_waiting: dict[str, int] = {}
        """What pods of others wait for that may come here."""

    def settle(self, resident: Resident) -> None:
        """A model stands here."""
        free = self.free
        for resource, amount in resident.holds.items():
            free[resource] = free.get(resource, 0) - amount
        self.residents.append(resident)
        if resident.state is ResidentState.LEAVING:
            self.coming = plus(self.coming, resident.holds)
        elif resident.state is ResidentState.STARTING:
            self.starting += 1

    def give(self, need: Amounts) -> None:
        """So much belongs to a demand from now on, whether it is free already or not."""
        for resource, amount in need.items():
            self.free[resource] = self.free.get(resource, 0) - amount

    def soon(self) -> dict[str, int]:
        """What is free once all that leave have left."""
        return plus(self.free, self.coming)

    def with_others(self, need: Amounts) -> Amounts:
        """The need, and that of the pods of others that may come here first."""
        return plus(need, self.foreign_waiting) if self.foreign_waiting else need


class Books:
    """All nodes' accounts."""

    def __init__(
        self, nodes: Iterable[RoomNode], snapshot: RoomSnapshot, settings: RoomSettings, now: datetime
    ) -> None:
        self.settings = settings
        self.now = now
        self.promises = 0
        """How often models were promised to demands so far."""
        self.standings = {node.name: Standing(node) for node in nodes}
        for resident in snapshot.residents:
            standing = self.standings.get(resident.node)
            if standing is not None:
                standing.settle(resident)
        self._count_foreign_pods(snapshot)
        self.idle = self._candidates(snapshot.residents, ResidentState.IDLE, now - settings.min_residency)
        """Those that may be evicted, the one that costs least first."""
        self.busy = self._candidates(snapshot.residents, ResidentState.BUSY, now - settings.longest_residency)
        """Those that may be closed, likewise."""

    def may_start_on(self, standing: Standing) -> bool:
        """Whether one more engine may start there now."""
        limit = self.settings.starts_per_node
        return limit is None or standing.starting < limit

    def start_seconds(self, resident: Resident) -> float:
        """How long a start of the model takes."""
        measured = resident.start_seconds
        return self.settings.default_start_seconds if measured is None else measured

    def promise(self, standing: Standing, chosen: Iterable[Candidate]) -> None:
        """These models go for a demand, at once or when their requests are done, and count for no other one."""
        self.promises += 1
        for each in chosen:
            resident = each.resident
            standing.coming = plus(standing.coming, resident.holds)
            standing.promised.add(resident.name)
            standing.candidates.remove(each)
            (self.busy if resident.state is ResidentState.BUSY else self.idle).remove(each)

    def _candidates(self, residents: Iterable[Resident], state: ResidentState, before: datetime) -> list[Candidate]:
        found: list[Candidate] = []
        for resident in residents:
            if resident.state is state and not resident.pinned and resident.since <= before:
                standing = self.standings.get(resident.node)
                if standing is not None:
                    candidate = self._candidate(resident)
                    found.append(candidate)
                    standing.candidates.append(candidate)
        found.sort(key=_by_cost)
        return found

    def _candidate(self, resident: Resident) -> Candidate:
        if resident.state is ResidentState.BUSY:
            costs = (0.0 if resident.closed else 1.0, resident.since.timestamp())
            return Candidate(BUSY_RELUCTANCE + resident.endless, costs, resident)
        start = self.start_seconds(resident)
        again = asks_per_second(resident.asks, resident.last_used, self.now)
        return Candidate(int(resident.endless), (start * again, resident.last_used.timestamp()), resident)

    def _count_foreign_pods(self, snapshot: RoomSnapshot) -> None:
        """A pod that fits as it is takes nothing that is freed: the scheduler is about to give it a node."""
        for pod in snapshot.foreign_waiting:
            open_to_it = [
                standing
                for standing in self.standings.values()
                if standing.node.schedulable
                and may_go_to(standing.node, pod.node_selector, pod.tolerations)
                and fits(pod.needs, standing.node.allocatable)
            ]
            if not any(fits(pod.needs, standing.free) for standing in open_to_it):
                for standing in open_to_it:
                    standing.foreign_waiting = plus(standing.foreign_waiting, pod.needs)


def _by_cost(candidate: Candidate) -> tuple[int, tuple[float, ...], str]:
    return candidate.reluctance, candidate.costs, candidate.resident.name
