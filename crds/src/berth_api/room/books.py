"""The accounts of one decision: what is free on each node, and what may become free, as more and more is given away."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from operator import itemgetter
from types import MappingProxyType

from berth_api.room.asks import asks_per_second
from berth_api.room.fits import fits, may_go_to, plus, scarce_resource
from berth_api.room.snapshot import Amounts, Resident, ResidentState, RoomNode, RoomSettings, RoomSnapshot
from berth_api.room.victims import Candidate

BUSY_RELUCTANCE = 1000
"""More than a node has idle models with an endless TTL, each of which counts 1."""

_NOTHING: Mapping[str, int] = MappingProxyType({})
_NONE: frozenset[str] = frozenset()


class _Free(dict[str, int]):
    """What is free on a node, by resource. Each is counted when it is first asked for: most never are.

    Ask with `[]`, of any resource: `get` knows only of what was counted before.
    """

    __slots__ = ("_node", "_residents")

    def __init__(self, node: RoomNode, residents: Sequence[Resident]) -> None:
        self._node = node
        self._residents = residents

    def __missing__(self, resource: str) -> int:
        node, held = self._node, sum([each.holds.get(resource, 0) for each in self._residents])
        free = self[resource] = node.allocatable.get(resource, 0) - node.foreign.get(resource, 0) - held
        return free


class _Soon(dict[str, int]):
    """The same once something has come free."""

    __slots__ = ("_coming", "_free")

    def __init__(self, free: Mapping[str, int], coming: Amounts) -> None:
        self._free = free
        self._coming = coming

    def __missing__(self, resource: str) -> int:
        soon = self[resource] = self._free[resource] + self._coming.get(resource, 0)
        return soon


class Standing:
    """One node's account."""

    coming: Amounts = _NOTHING
    """What leaving models hold, and those that were promised in this decision."""
    promised: frozenset[str] = _NONE
    """Those that were."""
    starting = 0
    """How many engines start there."""
    shares_starting: frozenset[str] = _NONE
    """The shared resources that one of these needs."""
    foreign_waiting: Amounts = _NOTHING
    """What pods of others wait for that may come here."""

    def __init__(self, node: RoomNode, residents: Sequence[Resident]) -> None:
        self.node = node
        self.residents = residents
        self.free: dict[str, int] = _Free(node, residents)
        """Less than nothing where more is held, or given away, than there is."""
        self.soon: Mapping[str, int] = self.free
        """What is free once all that leave have left."""

    def give(self, need: Amounts) -> None:
        """So much belongs to a demand, whether it is free already or not."""
        free = self.free
        for resource, amount in need.items():
            free[resource] -= amount
        if self.coming:
            self.soon = _Soon(self.free, self.coming)

    def expect(self, holds: Amounts) -> None:
        """So much comes free soon."""
        self.coming = plus(self.coming, holds)
        self.soon = _Soon(self.free, self.coming)

    def has(self, need: Amounts) -> bool:
        """Whether so much is free now."""
        free = self.free
        for resource, amount in need.items():  # noqa: SIM110 (twice as fast as all(...), and asked a million times)
            if amount > 0 and free[resource] < amount:
                return False
        return True

    def will_have(self, need: Amounts) -> bool:
        """Whether so much is free soon, for pods of others too, which may come first."""
        soon = self.soon
        if self.foreign_waiting:
            need = plus(need, self.foreign_waiting)
        for resource, amount in need.items():  # noqa: SIM110 (as in `has`)
            if amount > 0 and soon[resource] < amount:
                return False
        return True

    def lacks(self, need: Amounts) -> dict[str, int]:
        """What is missing soon, for pods of others too, which may come first."""
        soon = self.soon
        return {
            resource: amount - soon[resource]
            for resource, amount in plus(need, self.foreign_waiting).items()
            if amount > 0 and amount > soon[resource]
        }


class Pile:
    """Models that may leave and are not promised to anybody, the one that costs least first."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.all = candidates
        self._on_node: dict[str, list[Candidate]] | None = None

    def on(self, standing: Standing) -> Sequence[Candidate]:
        """Those of this node."""
        if self._on_node is None:  # only a set of several models asks for this
            self._on_node = {}
            for each in self.all:
                self._on_node.setdefault(each.resident.node, []).append(each)
        return self._on_node.get(standing.node.name, ())

    def take(self, candidate: Candidate) -> None:
        """This one is promised."""
        self.all.remove(candidate)
        if self._on_node is not None:
            self._on_node[candidate.resident.node].remove(candidate)


class Books:
    """All nodes' accounts."""

    def __init__(
        self, nodes: Iterable[RoomNode], snapshot: RoomSnapshot, settings: RoomSettings, now: datetime
    ) -> None:
        self.settings = settings
        self.now = now
        self.promises = 0
        """How often models were promised to demands so far."""
        self.surpluses = 0
        """How often more than needed was promised: the one kind of room of which there may be more than before."""
        residents, changing = _by_node(snapshot.residents)
        self.standings = {node.name: Standing(node, residents.get(node.name, ())) for node in nodes}
        self.leaving: list[Standing] = []
        """The nodes where something is coming."""
        self.limited: list[Standing] = []
        """The nodes where no more engine may start now."""
        self._residents = snapshot.residents
        for resident in changing:
            self._count_changing(resident)
        self._count_foreign_pods(snapshot)

    @cached_property
    def idle(self) -> Pile:
        """Those that may be evicted."""
        return self._pile(ResidentState.IDLE, self.settings.stays, self._to_evict)

    @cached_property
    def busy(self) -> Pile:
        """Those that may be closed."""
        return self._pile(ResidentState.BUSY, self.settings.yields, self._to_close)

    def candidates_on(self, standing: Standing, *, busy: bool) -> Sequence[Candidate]:
        """Those of this node: the idle ones, and the busy ones too if `busy`."""
        return [*self.idle.on(standing), *self.busy.on(standing)] if busy else self.idle.on(standing)

    def may_start_on(self, standing: Standing, needs: Iterable[str]) -> bool:
        """Whether one more engine may start there now. `needs`: the resources that it needs."""
        limit = self.settings.starts_per_node
        if limit is not None and standing.starting >= limit:
            return False
        return not standing.shares_starting or standing.shares_starting.isdisjoint(needs)

    def count_start(self, standing: Standing, needs: Iterable[str]) -> None:
        """One more engine starts there, which needs these resources."""
        standing.starting += 1
        shares = self.settings.shared.intersection(needs) if self.settings.shared else _NONE
        if standing.starting == self.settings.starts_per_node or not shares <= standing.shares_starting:
            self.limited.append(standing)
        if shares:
            standing.shares_starting |= shares

    def start_seconds(self, resident: Resident) -> float:
        """How long a start of the model takes."""
        measured = resident.start_seconds
        return self.settings.default_start_seconds if measured is None else measured

    def promise(self, standing: Standing, chosen: Iterable[Candidate], need: Amounts) -> None:
        """These models go for a demand, at once or when their requests are done, and count for no other one."""
        self.promises += 1
        if not standing.coming:
            self.leaving.append(standing)
        for each in chosen:
            resident = each.resident
            standing.expect(resident.holds)
            standing.promised |= {resident.name}
            (self.busy if resident.state is ResidentState.BUSY else self.idle).take(each)
        standing.give(need)
        scarce = scarce_resource(need)
        self.surpluses += standing.soon[scarce] > 0

    def _count_changing(self, resident: Resident) -> None:
        """The model starts or leaves."""
        standing = self.standings.get(resident.node)
        if standing is None:
            return
        if resident.state is ResidentState.LEAVING:
            if not standing.coming:
                self.leaving.append(standing)
            standing.expect(resident.holds)
        elif not resident.hindered:
            self.count_start(standing, resident.holds)

    def _pile(
        self,
        state: ResidentState,
        keeps: Callable[[Resident], timedelta],
        candidate: Callable[[Resident], Candidate],
    ) -> Pile:
        """`keeps`: how long a model of this state keeps what it holds once it is ready."""
        known, now = self.standings, self.now
        found = [
            candidate(resident)
            for resident in self._residents
            if resident.state is state
            and not resident.pinned
            and resident.node in known
            and resident.since + keeps(resident) <= now
        ]
        found.sort(key=itemgetter(0, 1, 2, 3))
        return Pile(found)

    def _to_evict(self, resident: Resident) -> Candidate:
        again = asks_per_second(resident.asks, resident.last_used, self.now)
        cost = self.start_seconds(resident) * again
        return Candidate(int(resident.endless), cost, resident.last_used, resident.name, resident)

    def _to_close(self, resident: Resident) -> Candidate:
        reluctance = BUSY_RELUCTANCE + resident.endless
        return Candidate(reluctance, 0.0 if resident.closed else 1.0, resident.since, resident.name, resident)

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
            if not any(standing.has(pod.needs) for standing in open_to_it):
                for standing in open_to_it:
                    standing.foreign_waiting = plus(standing.foreign_waiting, pod.needs)


def _by_node(residents: Iterable[Resident]) -> tuple[Mapping[str, Sequence[Resident]], Sequence[Resident]]:
    """The models of each node, and of all models those that start or leave. No calls: there are thousands."""
    on_node: defaultdict[str, list[Resident]] = defaultdict(list)
    changing: list[Resident] = []
    states = ResidentState.STARTING, ResidentState.LEAVING
    for resident in residents:
        on_node[resident.node].append(resident)
        if resident.state in states:
            changing.append(resident)
    return on_node, changing
