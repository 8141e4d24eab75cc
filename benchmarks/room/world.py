"""A cluster in a clock's time: requests come, engines start and end, and whatever decides is asked after each event."""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from berth_api.room.actions import CloseModels, EvictModels, RoomAction, StartModel, WithdrawPod
from berth_api.room.asks import Asks, asked
from berth_api.room.fits import fits, lacking, plus
from berth_api.room.snapshot import (
    Amounts,
    PendingPod,
    Resident,
    ResidentState,
    RoomDemand,
    RoomNode,
    RoomSnapshot,
)

BEGINNING = datetime(2026, 1, 2, tzinfo=UTC)
LEAVING_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 1.0

Deciding = Callable[[RoomSnapshot, datetime], Sequence[RoomAction]]


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """A model of the made-up cluster."""

    name: str
    needs: tuple[Amounts, ...]
    start_seconds: float
    ttl_seconds: float = 300.0
    priority: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Chances:
    """What goes wrong, as shares of 1."""

    decider_dies: float = 0.0
    """Before it has done all that it had decided."""
    start_fails: float = 0.0
    client_leaves: float = 0.0
    """While it waits: after up to a minute."""


@dataclass(slots=True)
class SimulatedEngine:
    """An engine."""

    model: SimulatedModel
    node: str
    holds: Amounts
    state: ResidentState
    since: float
    last_used: float
    in_flight: int = 0
    closed: bool = False


@dataclass(slots=True)
class WaitingRequest:
    """A request whose model does not serve yet."""

    came: float
    duration: float


@dataclass(slots=True)
class WorldCounts:
    """What became of the requests."""

    waits: list[float] = field(default_factory=list[float])
    """Seconds from each request until its model took it."""
    hits: int = 0
    """Requests that were taken at once."""
    left: int = 0
    evictions: int = 0


class World:
    """The cluster. Moments are seconds since its beginning."""

    def __init__(
        self,
        nodes: Sequence[RoomNode],
        models: Sequence[SimulatedModel],
        deciding: Deciding,
        chance: random.Random,
        chances: Chances | None = None,
        *,
        nodes_known: bool = True,
    ) -> None:
        self.now = 0.0
        self.nodes = {node.name: node for node in nodes}
        self.models = {model.name: model for model in models}
        self.running: dict[str, SimulatedEngine] = {}
        self.waiting: defaultdict[str, list[WaitingRequest]] = defaultdict(list)
        self.counts = WorldCounts()
        self._deciding = deciding
        self._chance = chance
        self._chances = chances or Chances()
        self._nodes_known = nodes_known
        self._asks: dict[str, Asks] = {}
        self._pods: dict[str, PendingPod] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._looks = False

    def moment(self, seconds: float | None = None) -> datetime:
        """Now, or so many seconds after the beginning."""
        return BEGINNING + timedelta(seconds=self.now if seconds is None else seconds)

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Has this happen then."""
        heapq.heappush(self._events, (moment, next(self._number), event))

    def ask(self, moment: float, name: str, duration: float) -> None:
        """A client asks then, and its answer takes so long."""
        self.at(moment, lambda: self._arrive(name, duration))

    def run(self, until: float) -> None:
        """Lets time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._decide()
        self.now = until

    def free(self, node: str) -> dict[str, int]:
        """What is free on the node."""
        held: dict[str, int] = dict(self.nodes[node].foreign)
        for each in self.running.values():
            if each.node == node:
                held = plus(held, each.holds)
        allocatable = self.nodes[node].allocatable
        return {resource: amount - held.get(resource, 0) for resource, amount in allocatable.items()}

    def snapshot(self) -> RoomSnapshot:
        """What the decision is made from."""
        residents = tuple(self._resident(each) for each in self.running.values())
        wanted = [
            name for name in self.models if name not in self.running and (self.waiting[name] or name in self._pods)
        ]
        demands = tuple(self._demand(name) for name in wanted)
        return RoomSnapshot(tuple(self.nodes.values()) if self._nodes_known else None, residents, demands)

    def _arrive(self, name: str, duration: float) -> None:
        self._asks[name] = asked(self._asks.get(name), self.moment())
        running = self.running.get(name)
        if running is not None and _serves(running):
            self.counts.hits += 1
            self._serve(running, WaitingRequest(self.now, duration))
            return
        request = WaitingRequest(self.now, duration)
        self.waiting[name].append(request)
        if self._chance.random() < self._chances.client_leaves:
            self.at(self.now + self._chance.uniform(0, 60), lambda: self._give_up(name, request))

    def _give_up(self, name: str, request: WaitingRequest) -> None:
        if request in self.waiting[name]:
            self.waiting[name].remove(request)
            self.counts.left += 1

    def _serve(self, running: SimulatedEngine, request: WaitingRequest) -> None:
        self.counts.waits.append(self.now - request.came)
        running.in_flight += 1
        running.state = ResidentState.BUSY
        self.at(self.now + request.duration, lambda: self._answered(running))

    def _answered(self, running: SimulatedEngine) -> None:
        running.in_flight -= 1
        running.last_used = self.now
        if not running.in_flight:
            running.state = ResidentState.IDLE
            self.at(self.now + running.model.ttl_seconds, lambda: self._expire(running))

    def _expire(self, running: SimulatedEngine) -> None:
        # The moment was computed as `last_used + ttl_seconds`, and is compared as that: a difference rounds otherwise.
        if running.state is ResidentState.IDLE and self.now >= running.last_used + running.model.ttl_seconds:
            self._leave(running)

    def _decide(self) -> None:
        if not self._nodes_known:
            self._schedule_pods()
        snapshot = self.snapshot()
        if snapshot.demands:
            actions = list(self._deciding(snapshot, self.moment()))
            if self._chance.random() < self._chances.decider_dies:
                actions = actions[: self._chance.randrange(len(actions) + 1)]
            self._apply(actions)
            if not self._looks:
                self._looks = True
                self.at(self.now + _LOOK_AGAIN_SECONDS, self._look_again)
        else:
            self._close(set())

    def _look_again(self) -> None:
        self._looks = False

    def _apply(self, actions: Sequence[RoomAction]) -> None:
        closed = {name for action in actions if isinstance(action, CloseModels) for name in action.names}
        self._close(closed.union(*(action.victims for action in actions if isinstance(action, EvictModels))))
        for action in actions:
            match action:
                case StartModel(name, shape, None):
                    self._pods[name] = PendingPod(shape)
                case StartModel(name, shape, str(node)):
                    self._start(self.models[name], shape, node)
                case EvictModels(victims):
                    self.counts.evictions += len(victims)
                    for name in victims:
                        self._leave(self.running[name])
                case WithdrawPod(name):
                    del self._pods[name]
                case _:
                    pass

    def _close(self, names: set[str]) -> None:
        for running in self.running.values():
            running.closed = running.model.name in names
            if _serves(running):
                self._take_waiting(running)

    def _take_waiting(self, running: SimulatedEngine) -> None:
        for request in self.waiting.pop(running.model.name, ()):
            self._serve(running, request)

    def _start(self, model: SimulatedModel, shape: int, node: str) -> None:
        running = SimulatedEngine(model, node, model.needs[shape], ResidentState.STARTING, self.now, self.now)
        self.running[model.name] = running
        fails = self._chance.random() < self._chances.start_fails
        self.at(self.now + model.start_seconds, lambda: self._gone(running) if fails else self._ready(running))

    def _ready(self, running: SimulatedEngine) -> None:
        running.state = ResidentState.IDLE
        running.since = running.last_used = self.now
        self.at(self.now + running.model.ttl_seconds, lambda: self._expire(running))
        self._take_waiting(running)

    def _leave(self, running: SimulatedEngine) -> None:
        assert running.state is ResidentState.IDLE, f"{running.model.name} is {running.state}"
        running.state = ResidentState.LEAVING
        self.at(self.now + LEAVING_SECONDS, lambda: self._gone(running))

    def _gone(self, running: SimulatedEngine) -> None:
        del self.running[running.model.name]

    def _schedule_pods(self) -> None:
        """What Kubernetes' scheduler does with pods that have no node."""
        for name, pod in list(self._pods.items()):
            need = self.models[name].needs[pod.shape]
            node = next((node for node in self.nodes if fits(need, self.free(node))), None)
            if node is not None:
                del self._pods[name]
                self._start(self.models[name], pod.shape, node)
                continue
            short = {resource for node in self.nodes for resource in lacking(need, self.free(node))}
            self._pods[name] = PendingPod(pod.shape, "0 nodes are available", tuple(sorted(short)))

    def _demand(self, name: str) -> RoomDemand:
        model, waiting = self.models[name], self.waiting[name]
        since = min((each.came for each in waiting), default=self.now)
        pod = self._pods.get(name)
        return RoomDemand(
            name, model.needs, self.moment(since), priority=model.priority, waited_for=bool(waiting), pod=pod
        )

    def _resident(self, running: SimulatedEngine) -> Resident:
        model = running.model
        return Resident(
            model.name,
            running.node,
            running.holds,
            running.state,
            self.moment(running.since),
            self.moment(running.last_used),
            model.priority,
            model.pinned,
            closed=running.closed,
            start_seconds=model.start_seconds,
            asks=self._asks.get(model.name),
        )


def _serves(running: SimulatedEngine) -> bool:
    return running.state in (ResidentState.IDLE, ResidentState.BUSY) and not running.closed


def of_one_node(amounts: Mapping[str, int]) -> tuple[RoomNode, ...]:
    """A cluster of one node with so much of each resource."""
    return (RoomNode("one", amounts),)
