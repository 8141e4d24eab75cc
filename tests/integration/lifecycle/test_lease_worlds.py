"""Leases under everything that can happen, in random order.

`--worlds N` runs so many; what was found is found again with `--worlds-seed`.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, initialize, precondition, rule

from berth_api.activity import expires_at
from berth_api.model_deployment import ModelDeployment
from berth_operator.room.orders import EvictionOrder
from berth_router.lifecycle import lease_keeper, lease_rules
from berth_router.lifecycle.lease_keeper import Claim, Leases
from berth_router.lifecycle.lease_rules import first_state
from berth_router.lifecycle.lease_state import ActivityEntry, DeploymentVersion, LeaseState, promise_end
from tests.unit.lifecycle import world
from tests.unit.lifecycle.wire import Outcome
from tests.unit.lifecycle.world import NAMES, World
from tests.unit.virtual_time import BEGINNING, VirtualLoop

TTLS = st.sampled_from([0, 1, 1, 1, 5, 60, 3600])
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(["works", "fails", "lost", "slow", "late"])
SKEWS = st.sampled_from([(0, 0, 0), (-2.5, -2.5, 2.5), (2.5, 2.5, -2.5), (2.5, -2.5, 0), (-2.5, 2.5, 2.5)])
"""Of the two routers and the operator, in seconds: as far apart as clocks may be."""

ROUTERS = st.sampled_from(NAMES)
TURNS = st.sampled_from([0, 0, 1, 2, 3, 5, 8])
"""Of the loop, after which the next thing happens: calls of the cluster take several."""


class Worlds(RuleBasedStateMachine):
    """What may happen."""

    by_version = True
    narrow = False
    """Whether only short requests, slowness and failures happen: what only these can show is found sooner."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.world: World | None = None

    @property
    def now(self) -> World:
        assert self.world
        return self.world

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.runner.run(work)
        if self.world:
            self.world.check()

    def does(self, what: Callable[[], None], turns: int) -> None:
        """Makes something happen, and gives it a few turns of the loop."""

        async def happen() -> None:
            what()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(happen())

    def counted(self, ttl: int) -> int:
        return 1 if self.narrow else ttl

    @initialize(skews=SKEWS, declared_ttl=st.sampled_from([None, None, 1, 60]), slow=st.sampled_from([0, 0.5, 4]))
    def begins(self, skews: tuple[float, float, float], declared_ttl: int | None, slow: float) -> None:
        async def begin() -> None:
            self.world = World(skews, declared_ttl, self.by_version, slow)
            await self.world.declare()
            await asyncio.sleep(1)

        self.run(begin())

    @rule(router=ROUTERS, ttl=TTLS, turns=TURNS)
    def a_request_comes(self, router: str, ttl: int, turns: int) -> None:
        self.does(lambda: self.now.request(router, self.counted(ttl)), turns)

    @precondition(lambda self: self.world and self.world.accepted)
    @rule(at=st.integers(0, 5), turns=TURNS)
    def an_answer_ends(self, at: int, turns: int) -> None:
        self.does(lambda: self.now.end(at), turns)

    @precondition(lambda self: not self.narrow)
    @rule(router=ROUTERS, turns=TURNS)
    def it_is_unloaded(self, router: str, turns: int) -> None:
        self.does(lambda: self.now.unload(router), turns)

    @precondition(lambda self: not self.narrow)
    @rule(close=st.sampled_from([None, False, True, True]), turns=TURNS)
    def room_is_needed(self, close: bool | None, turns: int) -> None:
        order = None if close is None else EvictionOrder("other", close)
        self.does(lambda: self.now.evict(order), turns)

    @precondition(lambda self: not self.narrow)
    @rule(seconds=st.sampled_from([0, 3, 31, 61, 100]), turns=TURNS)
    def the_operator_crashes(self, seconds: float, turns: int) -> None:
        self.does(lambda: self.now.stop_operator(seconds), turns)

    @rule(seconds=st.sampled_from([0.1, 1, 2, 3, 6, 29, 32, 91, 400]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: not self.narrow)
    @rule(router=ROUTERS, turns=TURNS)
    def a_router_crashes(self, router: str, turns: int) -> None:
        self.does(lambda: self.now.crash(router), turns)

    @rule(router=ROUTERS, ttl=TTLS, seconds=st.sampled_from([0.1, 1, 2.5, 6]))
    def a_short_answer(self, router: str, ttl: int, seconds: float) -> None:
        async def answer() -> None:
            self.now.request(router, self.counted(ttl))
            await asyncio.sleep(1)
            if self.now.accepted:
                self.now.end(-1)
            await asyncio.sleep(seconds)

        self.run(answer())

    @rule(router=ROUTERS, what=st.one_of(st.lists(OUTCOMES, min_size=1, max_size=4), st.sampled_from([0, 1, 10, 60])))
    def something_is_slow_or_fails(self, router: str, what: list[Outcome] | int) -> None:
        """What becomes of its next writes, or how many seconds its watch is late."""

        def go_wrong() -> None:
            wire = self.now.routers[router].wire
            if isinstance(what, list):
                wire.outcomes.extend(what)
            else:
                wire.lag = what

        self.does(go_wrong, 0)

    @rule(router=ROUTERS, ttl=TTLS, first=st.sampled_from([0, 28, 29]), wait=st.sampled_from([0, 56, 58]))
    def a_router_is_cut_off_and_asked(self, router: str, ttl: int, first: float, wait: float) -> None:
        """From just before it renews a lease until that has nearly ended."""

        async def cut_off() -> None:
            await asyncio.sleep(first)
            self.now.routers[router].wire.out_until = asyncio.get_running_loop().time() + 65
            await asyncio.sleep(wait)
            self.now.request(router, self.counted(ttl))

        self.run(cut_off())

    def teardown(self) -> None:
        try:
            if self.world and not self.world.faults:
                self.run(self.world.quiet())
        finally:
            self.runner.close()


class Narrow(Worlds):
    """Only short requests, slowness and failures."""

    narrow = True


class WithoutVersions(Narrow):
    """The operator deletes any version of the object."""

    by_version = False


def explore(worlds: type[Worlds], count: int, number: int, *, shrinks: bool = False) -> None:
    """Runs so many worlds. Raises AssertionError where a rule is broken. `shrinks`: shorten it, for minutes."""
    chosen = settings(
        max_examples=count,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    seed(number)(get_state_machine_test(worlds, settings=chosen))()


def test_no_answer_is_cut_and_no_promise_forgotten_whatever_happens(pytestconfig: pytest.Config) -> None:
    count: Any = pytestconfig.getoption("--worlds")
    given: Any = pytestconfig.getoption("--worlds-seed")
    number = secrets.randbelow(1 << 32) if given is None else given
    print(f"{count} worlds with --worlds-seed {number}")
    explore(Worlds, count, number, shrinks=given is not None)


# -- Bugs that are planted, each of which must be found


def _forget_what_is_stored(patch: pytest.MonkeyPatch) -> type[Worlds]:
    def forgetful(seen: DeploymentVersion, now: datetime) -> LeaseState:
        return first_state(replace(seen, own=None), now)

    patch.setattr(lease_keeper, "first_state", forgetful)
    return Worlds


def _rely_on_what_others_promise(patch: pytest.MonkeyPatch) -> type[Worlds]:
    claim_now = Leases.claim_now

    def trusting(self: Leases, deployment: ModelDeployment, ttl: int) -> Claim | None:
        claim, expiry = claim_now(self, deployment, ttl), expires_at(deployment)
        return (
            self.claim(deployment, ttl)
            if claim is None and expiry and expiry - BEGINNING > timedelta(seconds=60)
            else claim
        )

    patch.setattr(Leases, "claim_now", trusting)
    return Worlds


def _promise_what_the_last_request_wants(patch: pytest.MonkeyPatch) -> type[Worlds]:
    fold = lease_rules._fold_ended  # pyright: ignore[reportPrivateUsage]

    def shrinking(state: LeaseState) -> None:
        ended = state.ended
        fold(state)
        for ttl, at in ended.items():
            state.promise = promise_end(at, ttl)

    patch.setattr(lease_rules, "_fold_ended", shrinking)
    return Worlds


def _leave_no_margin(patch: pytest.MonkeyPatch) -> type[Worlds]:
    patch.setattr(lease_rules, "MARGIN", timedelta())
    return Narrow


def _delete_whatever_version_there_is(patch: pytest.MonkeyPatch) -> type[Worlds]:
    return WithoutVersions


def _rely_on_what_is_being_released(patch: pytest.MonkeyPatch) -> type[Worlds]:
    begin_write = lease_rules._begin_write  # pyright: ignore[reportPrivateUsage]

    def clinging(state: LeaseState, now: datetime) -> ActivityEntry:
        lease = state.lease
        entry = begin_write(state, now)
        state.lease = lease
        return entry

    patch.setattr(lease_rules, "_begin_write", clinging)
    return Narrow


def _evict_what_is_in_use(patch: pytest.MonkeyPatch) -> type[Worlds]:
    def at_once(deployment: ModelDeployment, now: datetime) -> datetime | None:
        return now if deployment.status.eviction else None

    patch.setattr(world, "vacated_at", at_once)
    return Worlds


def _write_without_a_pause(patch: pytest.MonkeyPatch) -> type[Worlds]:
    patch.setattr(lease_rules, "SETTLE", timedelta(seconds=0.01))
    patch.setattr(lease_rules, "WRITE_INTERVAL", timedelta())
    return Worlds


PLANTED = [
    (_forget_what_is_stored, "shrinks", 2),
    (_rely_on_what_others_promise, "is cut|is gone", 2),
    (_promise_what_the_last_request_wants, "shrinks", 2),
    (_leave_no_margin, "is cut", 2),
    (_delete_whatever_version_there_is, "is cut|is gone", 2),
    (_rely_on_what_is_being_released, "is cut|is gone", 8),
    (_evict_what_is_in_use, "is cut", 2),
    (_write_without_a_pause, "writes too often", 20),
]
"""What is planted, what is found of it, and a seed with which that is soon."""


@pytest.mark.parametrize(("plant", "found", "number"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], type[Worlds]], found: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = plant(monkeypatch)
    with pytest.raises(AssertionError, match=found):
        explore(worlds, 1000, number)
