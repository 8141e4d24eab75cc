"""Who starts, who is evicted, who is closed, who waits and who is refused: one pure decision, wherever Berth runs.

It has no memory: all that it knows is in the snapshot. So nothing is lost when whoever decides is killed, and deciding
again while nothing has changed says the same again. What it says of busy models that are to be closed is the whole of
it each time: what it no longer names, nor evicts, is open.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial

from berth_api.room.actions import (
    CloseModels,
    EvictModels,
    KeepWaiting,
    RefuseModel,
    RoomAction,
    StartModel,
    WithdrawPod,
)
from berth_api.room.blind import StartsInSight, as_known, known_nodes
from berth_api.room.books import Books, Standing
from berth_api.room.fits import contradict, lacking
from berth_api.room.lines import Line, in_order
from berth_api.room.snapshot import (
    Amounts,
    ResidentState,
    RoomDemand,
    RoomSettings,
    RoomSnapshot,
)
from berth_api.room.victims import Candidate
from berth_api.room.words import amount, amounts, holders, listed

_MOST_PROMISES = 32
"""For so many demands models are evicted or closed at once: the others are looked at when these have their room."""

_LEAVING_SECONDS = 2.0
"""How long an idle model is expected to take to leave."""


def decide(snapshot: RoomSnapshot, settings: RoomSettings, now: datetime) -> tuple[RoomAction, ...]:
    """What is to happen now.

    For each demand that somebody waits for there is one StartModel, KeepWaiting or RefuseModel; EvictModels and
    CloseModels stand before the demand for whose sake they are.
    """
    return tuple(_Round(snapshot, settings, now).actions())


class _Round:
    """One decision, while it is made: each demand takes what the ones before it have left."""

    def __init__(self, snapshot: RoomSnapshot, settings: RoomSettings, now: datetime) -> None:
        self._snapshot = snapshot
        self._settings = settings
        self._now = now
        self._blind = snapshot.nodes is None
        nodes = known_nodes(snapshot.residents) if snapshot.nodes is None else snapshot.nodes
        self._books = Books(nodes, snapshot, settings, now)
        self._lines: dict[object, Line] = {}
        self._stuck: list[RoomDemand] = []
        """Where nodes are not known: the demands whose pods the scheduler has refused."""
        self._actions: list[RoomAction] = []

    @cached_property
    def _starts(self) -> StartsInSight:
        return StartsInSight(self._snapshot, self._settings, len(self._books.standings))

    def actions(self) -> list[RoomAction]:
        for demand in in_order(self._snapshot.demands):
            if demand.waited_for:
                self._decide(demand)
            elif demand.pod is not None:
                message = f"nobody waits for {demand.name} any more, and its pod has no node"
                self._actions.append(WithdrawPod(demand.name, "NobodyWaits", message))
        return self._actions

    def _decide(self, demand: RoomDemand) -> None:
        pod = demand.pod
        line = self._line_of(demand)
        if pod is not None and pod.refused is not None and not pod.insufficient:
            self._wait(demand, line, None, "Unschedulable", partial(_other_obstacle, pod.refused))
        elif self._blind and (pod is None or pod.refused is None):
            self._leave_to_scheduler(demand, line)
        else:
            if self._blind:
                self._stuck.append(demand)
            self._find_room(as_known(demand) if self._blind else demand, line)

    def _find_room(self, demand: RoomDemand, line: Line) -> None:
        first, needs = self._shapes(demand)
        possible = [(first + at, need) for at, need in enumerate(needs) if line.ever_fits(need)]
        if not possible and not self._blind and not self._settings.autoscaled:
            self._refuse(demand, line, needs[-1])
            return
        for shape, need in possible:
            standing = line.with_room(need)
            if standing is not None:
                self._start(demand, line, standing, shape, need)
                return
        if not (possible and self._make_room(demand, line, possible[-1][1])):
            self._stand_in_line(demand, line, needs[-1], possible=bool(possible))

    def _make_room(self, demand: RoomDemand, line: Line, need: Amounts) -> bool:
        """Whether there is a way to room that needs no more than time."""
        if standing := line.with_room_later(need):
            standing.give(need)
            self._wait(demand, line, self._settings.default_start_seconds, "StartsLimited", partial(_starts, standing))
        elif standing := line.with_room_coming(need):
            words = partial(_coming, standing, need, tuple(standing.promised))
            standing.give(need)
            self._wait(demand, line, _LEAVING_SECONDS, "RoomIsComing", words)
        elif self._books.promises >= _MOST_PROMISES:
            self._wait_behind(demand, line, need)
        elif chosen := line.to_evict(need, demand):
            self._evict(demand, line, need, *chosen)
        elif self._now - demand.since >= self._settings.patience and (chosen := line.to_close(need, demand)):
            self._close(demand, line, need, *chosen)
        else:
            return False
        return True

    def _shapes(self, demand: RoomDemand) -> tuple[int, Sequence[Amounts]]:
        """The shapes that are left to choose from, and the index of the first: a pod has its shape already."""
        if demand.pod is None:
            return 0, demand.needs
        return demand.pod.shape, (demand.needs[demand.pod.shape],)

    def _start(self, demand: RoomDemand, line: Line, standing: Standing, shape: int, need: Amounts) -> None:
        standing.give(need)
        self._books.count_start(standing, need)
        if demand.pod is not None:
            self._await_scheduler(demand, line, 0.0, partial(_on_its_way, standing))
            return
        message = f"{standing.node.name} has room for {demand.name}: {amounts(need)}"
        self._actions.append(StartModel(demand.name, shape, standing.node.name, "HasRoom", message))

    def _evict(
        self, demand: RoomDemand, line: Line, need: Amounts, standing: Standing, chosen: Sequence[Candidate]
    ) -> None:
        names = tuple(sorted(each.resident.name for each in chosen))
        message = (
            f"{demand.name} needs {amounts(need)}, and on {standing.node.name} it is idle models that have it: "
            f"{holders((each.resident for each in chosen), need)}"
        )
        self._books.promise(standing, chosen, need)
        self._actions.append(EvictModels(names, demand.name, standing.node.name, "MakingRoom", message))
        self._wait(demand, line, _LEAVING_SECONDS, "MakingRoom", partial(_giving_back, names))

    def _close(
        self, demand: RoomDemand, line: Line, need: Amounts, standing: Standing, chosen: Sequence[Candidate]
    ) -> None:
        busy = [each.resident for each in chosen if each.resident.state is ResidentState.BUSY]
        names = tuple(sorted(each.name for each in busy))
        message = (
            f"{demand.name} waits for {amounts(need)}, and these have had it on {standing.node.name} for their time: "
            f"{holders(busy, need)}"
        )
        self._books.promise(standing, chosen, need)
        self._actions.append(CloseModels(names, demand.name, standing.node.name, "TimeIsUp", message))
        self._wait(demand, line, _LEAVING_SECONDS, "Closing", partial(_finishing, names))

    def _stand_in_line(self, demand: RoomDemand, line: Line, need: Amounts, *, possible: bool) -> None:
        """Nothing can be done but wait. The first in line keeps a node: nobody later takes what it waits for there."""
        if line.waits_for_node:
            self._wait_behind(demand, line, need)
            return
        line.waits_for_node = True
        kept = line.place_to_wait(need, demand) if possible else None
        if kept is not None:
            kept[0].give(need)
        if self._settings.autoscaled and not self._blind and demand.pod is None:
            message = f"no node has room for {demand.name}: {amounts(need)}; its pod asks for one more"
            self._actions.append(StartModel(demand.name, len(demand.needs) - 1, None, "NodeWanted", message))
        elif kept is not None:
            standing, moment = kept
            words = partial(_held, self._blind, standing, need)
            self._wait(demand, line, (moment - self._now) / timedelta(seconds=1), "Queued", words)
        else:
            words = partial(_no_node_in_sight, self._blind, line.allowed, need)
            self._wait(demand, line, None, "NoRoomInSight", words)

    def _wait_behind(self, demand: RoomDemand, line: Line, need: Amounts) -> None:
        estimate = line.estimate
        if estimate is not None:
            estimate += self._settings.default_start_seconds + self._settings.min_residency / timedelta(seconds=1)
        self._wait(demand, line, estimate, "Queued", partial(_behind, line.waiting, need))

    def _wait(self, demand: RoomDemand, line: Line, estimate: float | None, reason: str, words: partial[str]) -> None:
        line.waiting += 1
        line.estimate = estimate
        self._actions.append(KeepWaiting(demand.name, line.waiting, estimate, reason, words))

    def _await_scheduler(self, demand: RoomDemand, line: Line, estimate: float | None, words: partial[str]) -> None:
        """Its pod is about to get a node, or to be refused: until then it is ahead of nobody, and no place changes."""
        self._actions.append(KeepWaiting(demand.name, line.waiting + 1, estimate, "Scheduling", words))

    def _refuse(self, demand: RoomDemand, line: Line, need: Amounts) -> None:
        nearest = line.nearest(need)
        if nearest is None:
            message = f"no node has the labels that {demand.name} asks for, without a taint that keeps it away"
            self._actions.append(RefuseModel(demand.name, "NoNodeAllowed", message, None, {}))
            return
        has = nearest.node.allocatable
        missing = lacking(need, has)
        message = f"{demand.name} needs at least {amounts(need)}, and the nearest node, {nearest.node.name}, has " + (
            listed([amount(resource, has.get(resource, 0)) for resource in sorted(missing)])
        )
        self._actions.append(RefuseModel(demand.name, "NeverFits", message, nearest.node.name, missing))

    def _leave_to_scheduler(self, demand: RoomDemand, line: Line) -> None:
        """Where nodes are not known, a pod is made to hear what the scheduler says of it."""
        if demand.pod is not None:
            self._await_scheduler(demand, line, None, partial(_being_scheduled))
            return
        before = next((each for each in self._stuck if self._competes(each, demand)), None)
        if before is not None:
            self._wait(demand, line, None, "Queued", partial(_behind_one, before.name))
            return
        need = demand.needs[0]
        if not self._starts.may_begin(need):
            words = partial(_starts_somewhere, self._starts.number)
            self._wait(demand, line, self._settings.default_start_seconds, "StartsLimited", words)
            return
        self._starts.count(need)
        message = f"the scheduler finds a node for {demand.name}: {amounts(need)}"
        self._actions.append(StartModel(demand.name, 0, None, "NodesUnknown", message))

    def _competes(self, earlier: RoomDemand, later: RoomDemand) -> bool:
        """Whether the later one may take what the earlier one waits for, and could get."""
        wanted = as_known(earlier).needs[0]
        return (
            any(later.needs[0].get(resource, 0) > 0 for resource in wanted)
            and not contradict(earlier.node_selector, later.node_selector)
            and self._line_of(earlier).ever_fits(wanted)
        )

    def _line_of(self, demand: RoomDemand) -> Line:
        known = as_known(demand) if self._blind else demand
        key = Line.key(known)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(self._books, known)
        return line


def _other_obstacle(refused: str) -> str:
    return f"the scheduler finds no node, and not for want of room: {refused}"


def _being_scheduled() -> str:
    return "its pod waits for the scheduler"


def _on_its_way(standing: Standing) -> str:
    return f"{standing.node.name} has room for it, and the scheduler gives it its node"


def _starts(standing: Standing) -> str:
    return f"{standing.node.name} has room for it, and {_engines(standing.starting)} there already"


def _starts_somewhere(number: int) -> str:
    return f"{_engines(number)} already, on nodes at which Berth may not look"


def _engines(starting: int) -> str:
    return "an engine starts" if starting == 1 else f"{starting} engines start"


def _coming(standing: Standing, need: Amounts, promised: Sequence[str]) -> str:
    going = [each for each in standing.residents if each.state is ResidentState.LEAVING or each.name in promised]
    return f"it needs {amounts(need)}; on {standing.node.name} this comes free: {holders(going, need)}"


def _giving_back(names: Sequence[str]) -> str:
    return f"{listed(names)} {'gives' if len(names) == 1 else 'give'} back what it needs"


def _finishing(names: Sequence[str]) -> str:
    return f"it has its turn when {listed(names)} {'has' if len(names) == 1 else 'have'} answered what is in hand"


def _held(blind: bool, standing: Standing, need: Amounts) -> str:
    unknown = ", as far as that is known: Berth may not look at nodes" if blind else ""
    return f"it needs {amounts(need)}; on {standing.node.name}: {holders(standing.residents, need)}{unknown}"


def _no_node_in_sight(blind: bool, allowed: Sequence[Standing], need: Amounts) -> str:
    if blind:
        return (
            f"it needs {amounts(need)}, and no eviction of Berth's models is certain to make room for that: Berth may "
            "not look at nodes"
        )
    residents = [each for standing in allowed for each in standing.residents]
    return f"it needs {amounts(need)}, which others keep: {holders(residents, need) or 'pods that are not models'}"


def _behind(ahead: int, need: Amounts) -> str:
    return f"it needs {amounts(need)}, and {ahead} {'waits' if ahead == 1 else 'wait'} for the same before it"


def _behind_one(name: str) -> str:
    return f"{name} waits for the same before it, and the scheduler has no room for that yet"
