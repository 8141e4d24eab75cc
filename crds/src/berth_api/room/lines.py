"""The queues: demands that want the same resource on the same nodes stand in one line, first come, first served."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from berth_api.room.books import Books, Standing
from berth_api.room.fits import fits, lacking, may_go_to, scarce_resource
from berth_api.room.snapshot import Amounts, Resident, ResidentState, RoomDemand
from berth_api.room.victims import Candidate, SetRank, fewest, rank

_MOST_FAILURES = 16
"""How many vain searches a line remembers of one kind."""

_MOST_PASSED = 16
"""After a look at so many nodes that are full, a line leaves them out."""

Chosen = tuple[Standing, tuple[Candidate, ...]]
"""A node, and the models that leave it."""


def in_order(demands: Iterable[RoomDemand]) -> list[RoomDemand]:
    """First come, first served, by priority; before all, those whose pods the scheduler is about to give a node."""
    return sorted(demands, key=_rank)


def _rank(demand: RoomDemand) -> tuple[bool, int, datetime, str]:
    on_its_way = demand.pod is not None and demand.pod.refused is None
    return not on_its_way, -demand.priority, demand.since, demand.name


class Line:
    """One queue, in one decision. What it once did not find, it does not look for again: there is less and less."""

    def __init__(self, books: Books, demand: RoomDemand) -> None:
        self._books = books
        self._scarce = scarce_resource(demand.needs[-1])
        self.allowed = [
            standing
            for standing in books.standings.values()
            if may_go_to(standing.node, demand.node_selector, demand.tolerations)
        ]
        """The nodes that let its demands in, those that are not schedulable now too."""
        self._open = sorted(
            (standing for standing in self.allowed if standing.node.schedulable), key=self._size_and_name
        )
        """Small nodes first, so that large shapes find room later."""
        self._names = {standing.node.name for standing in self._open}
        self._failed: defaultdict[str, list[Amounts]] = defaultdict(list)
        self._candidates_left: dict[tuple[str, int], tuple[int, list[Candidate]]] = {}
        """By kind of search and amount of the scarce resource: how much surplus there was, and who was left then."""
        self._startable = self._open
        self._surpluses = 0
        self._roomy = 0
        """The index of the node that last would have had room."""
        self.waiting = 0
        """How many of its demands wait so far."""
        self.estimate: float | None = None
        """When the last of these has room, in seconds."""
        self.waits_for_node = False
        """One of them keeps a node for itself, or waits for one to appear."""

    @staticmethod
    def key(demand: RoomDemand) -> object:
        """What demands of one line have in common."""
        return frozenset(demand.node_selector.items()), demand.tolerations, scarce_resource(demand.needs[-1])

    def nearest(self, need: Amounts) -> Standing | None:
        """The node, if it were empty, that has most of what is needed."""
        return max(
            self.allowed,
            key=lambda each: (
                sum(
                    min(1.0, each.node.allocatable.get(resource, 0) / amount)
                    for resource, amount in need.items()
                    if amount > 0
                ),
                each.node.name,
            ),
            default=None,
        )

    def ever_fits(self, need: Amounts) -> bool:
        """Whether an empty node would have room."""
        allowed = self.allowed
        at = self._roomy
        if at < len(allowed) and fits(need, allowed[at].node.allocatable):
            return True
        self._roomy = next((at for at, each in enumerate(allowed) if fits(need, each.node.allocatable)), 0)
        return bool(allowed) and fits(need, allowed[self._roomy].node.allocatable)

    def with_room(self, need: Amounts) -> Standing | None:
        """A node that has room now, and where one more engine may start."""
        if self._gave_up("free", need):
            return None
        books = self._books
        found: Standing | None = None
        passed = 0
        for standing in self._startable:
            if standing.has(need) and books.may_start_on(standing, need):
                found = standing
                break
            passed += 1
        if passed > _MOST_PASSED:
            self._startable = [each for each in self._startable if self._has_some(each)]
        if found is None:
            self._fail("free", need)
        return found

    def with_room_later(self, need: Amounts) -> Standing | None:
        """A node that has room now, where too many engines start."""
        if self._gave_up("later", need):
            return None
        names = self._names
        return self._first(
            "later", need, (each for each in self._books.limited if each.node.name in names and each.has(need))
        )

    def with_room_coming(self, need: Amounts) -> Standing | None:
        """A node that has room once those that leave have left, for pods of others too."""
        if self._surpluses != self._books.surpluses:
            self._surpluses = self._books.surpluses
            self._failed["coming"].clear()
        if self._gave_up("coming", need):
            return None
        names = self._names
        return self._first(
            "coming", need, (each for each in self._books.leaving if each.node.name in names and each.will_have(need))
        )

    def to_evict(self, need: Amounts, demand: RoomDemand) -> Chosen | None:
        """The models whose eviction makes room, on one node; None where that is not enough."""
        if self._gave_up("evict", need):
            return None
        single = self._single("single", self._books.idle.all, need, demand)
        if single is not None and not single[1][0].reluctance:
            return single
        return self._set("evict", need, demand, busy=False)

    def to_close(self, need: Amounts, demand: RoomDemand) -> Chosen | None:
        """The models whose eviction would make room, if those of them that are busy were idle."""
        if not self._books.busy.all or self._gave_up("close", need):
            return None
        return self._single("busy", self._books.busy.all, need, demand) or self._set("close", need, demand, busy=True)

    def place_to_wait(self, need: Amounts, demand: RoomDemand) -> tuple[Standing, datetime] | None:
        """The node that is certain to have room first, and when it may be expected to.

        Every model yields some time after it became ready, whoever uses it. That moment does not move while the model
        stays, so the demand goes on waiting for the same node.
        """
        best: tuple[datetime, str, Standing] | None = None
        for standing in self._open:
            if best is not None and self._first_to_yield(standing) > best[0]:
                continue
            certain = self._room_by(standing, need, demand, self._yields)
            if certain is not None and (best is None or (certain, standing.node.name) < best[:2]):
                best = (certain, standing.node.name, standing)
        if best is None:
            return None
        expected = self._room_by(best[2], need, demand, self._expected_to_go)
        return best[2], expected or best[0]

    def _room_by(
        self, standing: Standing, need: Amounts, demand: RoomDemand, goes: Callable[[Resident], datetime]
    ) -> datetime | None:
        """When there is room on the node, if its models go then; None where they would have to be others."""
        missing = standing.lacks(need)
        moment = self._books.now
        movable = [
            (goes(each), each.name, each.holds)
            for each in standing.residents
            if each.state is not ResidentState.LEAVING
            and each.name not in standing.promised
            and not each.pinned
            and _may_go_for(each, demand)
        ]
        movable.sort(key=itemgetter(0, 1))
        for gone, _, holds in movable:
            if not missing:
                break
            missing = lacking(missing, holds)
            moment = max(moment, gone)
        return None if missing else moment

    def _first_to_yield(self, standing: Standing) -> datetime:
        """No room comes on the node before this, but what is coming already."""
        return min(map(self._yields, standing.residents), default=self._books.now)

    def _yields(self, resident: Resident) -> datetime:
        """When the model goes at the latest, but for the requests that it then has in hand."""
        since = self._books.now if resident.state is ResidentState.STARTING else resident.since
        return since + self._books.settings.yields(resident)

    def _expected_to_go(self, resident: Resident) -> datetime:
        settings, now = self._books.settings, self._books.now
        match resident.state:
            case ResidentState.IDLE:
                return resident.since + settings.stays(resident)
            case ResidentState.STARTING:
                return now + timedelta(seconds=self._books.start_seconds(resident)) + settings.stays(resident)
            case _:
                return resident.since + settings.yields(resident)

    def _single(self, stage: str, candidates: Sequence[Candidate], need: Amounts, demand: RoomDemand) -> Chosen | None:
        """The first of these that is enough by itself: they are in the order of what they cost."""
        if self._gave_up(stage, need):
            return None
        standings, names, scarce = self._books.standings, self._names, self._scarce
        wanted = need.get(scarce, 0)
        left = self._left(stage, wanted, candidates)
        near: list[Candidate] = []
        for at, candidate in enumerate(left):
            resident = candidate.resident
            if resident.node not in names:
                continue
            standing = standings[resident.node]
            held = resident.holds.get(scarce, 0)
            if standing.soon[scarce] + held < wanted:
                continue
            if resident.name in standing.promised:
                continue
            near.append(candidate)
            if not _may_go_for(resident, demand):
                continue
            if fits(standing.lacks(need), resident.holds):
                left[: at + 1] = near
                return standing, (candidate,)
        self._fail(stage, need if near else {scarce: wanted})
        return None

    def _left(self, stage: str, wanted: int, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that were not found to be too small for so much of the scarce resource: there is less and less of it.

        Where there may be more than before, they are all looked at again.
        """
        known = self._candidates_left.get((stage, wanted))
        if known is None or known[0] != self._books.surpluses:
            known = self._candidates_left[stage, wanted] = self._books.surpluses, list(candidates)
        return known[1]

    def _set(self, stage: str, need: Amounts, demand: RoomDemand, *, busy: bool) -> Chosen | None:
        """The best set of all nodes."""
        best: tuple[SetRank, Chosen] | None = None
        scarce = self._scarce
        wanted = need.get(scarce, 0)
        near = False
        for standing in self._open:
            candidates = self._books.candidates_on(standing, busy=busy)
            held = sum([each.resident.holds.get(scarce, 0) for each in candidates])
            if not candidates or standing.soon[scarce] + held < wanted:
                continue
            near = True
            chosen = self._set_on(standing, candidates, need, demand)
            if chosen is not None and (best is None or rank(chosen) < best[0]):
                best = (rank(chosen), (standing, chosen))
        if best is None:
            self._fail(stage, need if near else {scarce: wanted})
            return None
        return best[1]

    def _set_on(
        self, standing: Standing, candidates: Iterable[Candidate], need: Amounts, demand: RoomDemand
    ) -> tuple[Candidate, ...] | None:
        willing = [each for each in candidates if _may_go_for(each.resident, demand)]
        missing = standing.lacks(need)
        return fewest(willing, missing) if missing else None

    def _has_some(self, standing: Standing) -> bool:
        """Whether anything of what the line wants is left on the node."""
        left = not self._scarce or standing.free[self._scarce] > 0
        return left and self._books.may_start_on(standing, (self._scarce,))

    def _gave_up(self, stage: str, need: Amounts) -> bool:
        """Whether less than this was looked for and not found."""
        return any(fits(failed, need) for failed in self._failed[stage])

    def _first(self, stage: str, need: Amounts, found: Iterator[Standing]) -> Standing | None:
        first = next(found, None)
        if first is None:
            self._fail(stage, need)
        return first

    def _fail(self, stage: str, need: Amounts) -> None:
        smallest = [failed for failed in self._failed[stage] if not fits(need, failed)]
        self._failed[stage] = [*smallest[-_MOST_FAILURES:], need]

    def _size_and_name(self, standing: Standing) -> tuple[int, str]:
        return standing.node.allocatable.get(self._scarce, 0), standing.node.name


def _may_go_for(resident: Resident, demand: RoomDemand) -> bool:
    return resident.priority <= demand.priority and resident.name != demand.name
