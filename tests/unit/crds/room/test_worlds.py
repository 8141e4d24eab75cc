"""What holds whatever happens: made-up clusters, with requests, crashes and failures at any moment."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.room.world import Chances, SimulatedModel, World
from berth_api.room.actions import (
    CloseModels,
    EvictModels,
    KeepWaiting,
    RefuseModel,
    RoomAction,
    StartModel,
    WithdrawPod,
)
from berth_api.room.decide import decide
from berth_api.room.fits import fits, plus
from berth_api.room.snapshot import Amounts, Resident, ResidentState, RoomNode, RoomSettings, RoomSnapshot
from tests.unit.crds.room.worlds import GPU
from tests.unit.examples import examples

MIN_RESIDENCY = timedelta(seconds=10)
MAX_RESIDENCY = timedelta(seconds=30)
LONGEST_START = 10
LONGEST_ANSWER = 5
LENGTH = 100
_NOTHING_IN_SIGHT = ("Queued", "NoRoomInSight")


@dataclass
class Watched:
    """A decision that looks at what it says, as whoever has to live with it would."""

    settings: RoomSettings
    evicted_at: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, snapshot: RoomSnapshot, now: datetime) -> Sequence[RoomAction]:
        actions = decide(snapshot, self.settings, now)
        self._each_demand_hears_once(snapshot, actions)
        self._starts_have_room(snapshot, actions)
        self._nobody_is_overtaken(snapshot, actions)
        for action in actions:
            match action:
                case EvictModels():
                    all_victims = {name for one in actions if isinstance(one, EvictModels) for name in one.victims}
                    self._eviction_is_fair(snapshot, action, all_victims, now)
                case CloseModels():
                    self._closing_is_fair(snapshot, action, now)
                case _:
                    pass
        return actions

    def _each_demand_hears_once(self, snapshot: RoomSnapshot, actions: Sequence[RoomAction]) -> None:
        heard = [one.name for one in actions if isinstance(one, StartModel | KeepWaiting | RefuseModel)]
        assert sorted(heard) == sorted(demand.name for demand in snapshot.demands if demand.waited_for)
        given_up = [demand.name for demand in snapshot.demands if not demand.waited_for and demand.pod is not None]
        assert [one.name for one in actions if isinstance(one, WithdrawPod)] == given_up
        for one in actions:
            assert one.reason.isalpha()
            assert one.message

    def _nobody_is_overtaken(self, snapshot: RoomSnapshot, actions: Sequence[RoomAction]) -> None:
        """Whoever starts has come before all that need no more and have nothing in sight.

        What is too large for all that is known of nodes keeps nobody back where Berth may not look at them.
        """
        if snapshot.nodes is None:
            return
        served = {one.name: one.shape for one in actions if isinstance(one, StartModel)}
        passed_over = {one.name for one in actions if isinstance(one, KeepWaiting) and one.reason in _NOTHING_IN_SIGHT}
        for later in snapshot.demands:
            for earlier in snapshot.demands:
                if later.name in served and earlier.name in passed_over:
                    comes_first = (-earlier.priority, earlier.since) < (-later.priority, later.since)
                    assert not (comes_first and fits(earlier.needs[-1], later.needs[served[later.name]]))

    def _starts_have_room(self, snapshot: RoomSnapshot, actions: Sequence[RoomAction]) -> None:
        needs = {demand.name: demand.needs for demand in snapshot.demands}
        for node in snapshot.nodes or ():
            taken = dict(node.foreign)
            for each in snapshot.residents:
                taken = plus(taken, each.holds) if each.node == node.name else taken
            starts = [one for one in actions if isinstance(one, StartModel) and one.node == node.name]
            for one in starts:
                taken = plus(taken, needs[one.name][one.shape])
            assert fits(taken, node.allocatable) or not starts
            already = sum(one.node == node.name and one.state is ResidentState.STARTING for one in snapshot.residents)
            limit = self.settings.starts_per_node
            assert limit is None or not starts or already + len(starts) <= limit
            assert not self.settings.shared or not starts or already + len(starts) <= 1, "all of them need a GPU"

    def _eviction_is_fair(
        self, snapshot: RoomSnapshot, action: EvictModels, all_victims: set[str], now: datetime
    ) -> None:
        """`all_victims`: of this decision. What one eviction frees beyond its need counts for the next one."""
        residents = {one.name: one for one in snapshot.residents}
        [demand] = [one for one in snapshot.demands if one.name == action.demand]
        victims = [residents[name] for name in action.victims]
        for one in victims:
            assert one.state is ResidentState.IDLE
            assert one.node == action.node
            assert not one.pinned
            assert one.priority <= demand.priority
            assert now - one.since >= self.settings.min_residency
            self.evicted_at[one.name].append(now)
        if snapshot.nodes is not None:
            [node] = [one for one in snapshot.nodes if one.name == action.node]
            going = [residents[name] for name in all_victims]
            assert _is_enough(snapshot, node, going, demand.needs[-1]), "an eviction for nothing"
            for spared in victims:
                fewer = [one for one in victims if one is not spared]
                assert not _is_enough(snapshot, node, fewer, demand.needs[-1]) or len(snapshot.demands) > 1

    def _closing_is_fair(self, snapshot: RoomSnapshot, action: CloseModels, now: datetime) -> None:
        residents = {one.name: one for one in snapshot.residents}
        [demand] = [one for one in snapshot.demands if one.name == action.demand]
        assert now - demand.since >= self.settings.patience
        for name in action.names:
            assert residents[name].state is ResidentState.BUSY
            assert not residents[name].pinned
            assert residents[name].priority <= demand.priority
            assert now - residents[name].since >= self.settings.max_residency


def _is_enough(snapshot: RoomSnapshot, node: RoomNode, victims: Sequence[Resident], need: Amounts) -> bool:
    stays = dict(node.foreign)
    for one in snapshot.residents:
        if one.node == node.name and one.state is not ResidentState.LEAVING and one not in victims:
            stays = plus(stays, one.holds)
    return fits(plus(stays, need), node.allocatable)


@st.composite
def worlds(draw: st.DrawFn, *, nodes_known: bool = True, wrong: bool = True) -> World:
    """A cluster of some nodes and models, with some minutes of requests."""
    devices = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    nodes = [RoomNode(f"node-{at}", {GPU: count, "memory": 16 * count}) for at, count in enumerate(devices)]
    models = [
        SimulatedModel(
            f"model-{at}",
            ({GPU: draw(st.integers(1, max(devices))), "memory": draw(st.integers(1, 16))},),
            draw(st.floats(1, LONGEST_START)),
            ttl_seconds=draw(st.sampled_from([30.0, 300.0, *([1e9] if nodes_known else [])])),
        )
        for at in range(draw(st.integers(1, 8)))
    ]
    rules = RoomSettings(
        draw(st.sampled_from([timedelta(0), MIN_RESIDENCY])),
        MAX_RESIDENCY,
        starts_per_node=draw(st.sampled_from([None, 1])),
        shared=draw(st.sampled_from([frozenset[str](), frozenset({GPU})])),
    )
    chances = Chances(0.2, 0.1, 0.2) if wrong and draw(st.booleans()) else Chances()
    chance = random.Random(draw(st.integers(0, 1 << 30)))  # noqa: S311 (chance, not secrets)
    world = World(nodes, models, Watched(rules), chance, chances, nodes_known=nodes_known)
    for _ in range(draw(st.integers(1, 30))):
        world.ask(chance.uniform(0, LENGTH), chance.choice(models).name, chance.uniform(0.1, LONGEST_ANSWER))
    if draw(st.booleans()):  # a model whose traffic never ends
        for second in range(0, LENGTH, 3):
            world.ask(second, models[0].name, chance.uniform(0.1, LONGEST_ANSWER))
    return world


def _watch_capacity(world: World) -> None:
    for node in world.nodes:
        assert all(amount >= 0 for amount in world.free(node).values()), "more than there is"


def _to_the_end(world: World) -> None:
    for second in range(0, LENGTH, 5):
        world.run(float(second))
        _watch_capacity(world)


def longest_wait(world: World) -> float:
    """Each model before in line may have its whole time, drain, and start; so may one that fails to start twice."""
    turn = MAX_RESIDENCY.total_seconds() + 2 * LONGEST_ANSWER + 3 * LONGEST_START + 10
    return len(world.models) * turn


@settings(max_examples=examples(50), deadline=None)
@given(worlds())
def test_nothing_is_cut_nothing_is_for_nothing_and_nobody_starves(world: World) -> None:
    _to_the_end(world)
    world.run(1_500)
    assert not any(world.waiting.values()), "everybody is served in the end"
    assert max(world.counts.waits, default=0) <= longest_wait(world)


@settings(max_examples=examples(50), deadline=None)
@given(worlds())
def test_deciding_again_comes_to_rest(world: World) -> None:
    """With no requests any more, there is a moment after which nothing happens."""
    world.run(1_500)
    before = world.counts.evictions
    world.run(3_000)
    assert world.counts.evictions == before


@settings(max_examples=examples(50), deadline=None)
@given(worlds(nodes_known=False))
def test_the_same_holds_where_nodes_are_not_known(world: World) -> None:
    _to_the_end(world)
    world.run(1_500)
    assert not any(world.waiting.values())


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1 << 30))
def test_who_is_never_idle_yields_to_who_waits(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (chance, not secrets)
    models = [SimulatedModel(name, ({GPU: 1},), chance.uniform(1, LONGEST_START)) for name in "abc"]
    world = World([RoomNode("one", {GPU: 1})], models, Watched(RoomSettings(MIN_RESIDENCY, MAX_RESIDENCY)), chance)
    for half_second in range(1200):
        world.ask(half_second / 2, "a", chance.uniform(1, LONGEST_ANSWER))
    for name in "bcbc":
        world.ask(chance.uniform(0, 400), name, LONGEST_ANSWER)
    world.run(1500)
    assert max(world.counts.waits) <= longest_wait(world)


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 1 << 30))
def test_who_needs_a_whole_node_is_not_passed_by_small_ones_for_ever(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (chance, not secrets)
    small = [SimulatedModel(f"small-{at}", ({GPU: 1},), chance.uniform(1, LONGEST_START)) for at in range(6)]
    models = [*small, SimulatedModel("large", ({GPU: 4},), LONGEST_START)]
    world = World([RoomNode("one", {GPU: 4})], models, Watched(RoomSettings(timedelta(0), MAX_RESIDENCY)), chance)
    for second in range(600):
        world.ask(second, chance.choice(small).name, chance.uniform(1, LONGEST_ANSWER))
    world.ask(50, "large", 1)
    world.run(50 + longest_wait(world))
    assert not world.waiting["large"]


@settings(max_examples=examples(50), deadline=None)
@given(st.floats(0.1, 30), st.floats(0.5, 10), st.integers(0, 1 << 30))
def test_two_models_asked_in_turns_change_places_once_in_the_residency_at_most(
    every: float, start: float, seed: int
) -> None:
    rules = RoomSettings(MIN_RESIDENCY, MAX_RESIDENCY)
    watched = Watched(rules)
    models = [SimulatedModel(name, ({GPU: 1},), start) for name in ("a", "b")]
    world = World([RoomNode("one", {GPU: 1})], models, watched, random.Random(seed))  # noqa: S311 (chance, not secrets)
    for turn in range(int(120 / every)):
        world.ask(turn * every, "ab"[turn % 2], min(0.5, every / 4))
    world.run(1000)
    moments = sorted(moment for each in watched.evicted_at.values() for moment in each)
    assert all(later - earlier >= MIN_RESIDENCY for earlier, later in pairwise(moments))
    assert not any(world.waiting.values())
