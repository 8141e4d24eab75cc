"""Two routers and an operator that work on one model, in virtual time; and the rules that must always hold.

The routers' parts are the real ones. The operator decides by its real rules and writes as it really does, but its
engines are only names. A broken rule is recorded, and `check` raises it.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from berth_api.activity import (
    CLOCK_SKEW,
    evicted,
    evicted_until,
    expires_at,
    forgotten_entries,
    last_unload,
    vacated_at,
)
from berth_api.model_deployment import Backend, Device, ModelDeployment, Phase
from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    ClusterError,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_operator.deployments.eviction import eviction_status, renewed_at
from berth_operator.deployments.idle import idle_since, is_asleep
from berth_operator.room.orders import EvictionOrder
from berth_router.errors import APIError
from berth_router.lifecycle import unloader
from berth_router.lifecycle.activator import Activator
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import Claim, Leases
from berth_router.lifecycle.lease_state import LEASE, MARGIN
from berth_router.lifecycle.resolve import Policy
from berth_router.lifecycle.unloader import Unloader
from berth_router.metrics import Metrics
from berth_router.request.ask import Ask
from berth_router.stats import Stats
from berth_router.store.model_store import ModelLookup
from tests.unit.lifecycle.wire import Store, Wire, seconds, writer
from tests.unit.virtual_time import BEGINNING

MODEL = "/models/tiny"
OPERATOR = "operator"
NAMES = ("router-1", "router-2")

GONE_WITHIN = LEASE + CLOCK_SKEW + timedelta(seconds=40)
"""After the last promise: a crashed router's lease, the longest wait between two tries, and the operator's rounds."""

_STARTS_SECONDS = 0.5
_SLOW_RENEWAL = (MARGIN - CLOCK_SKEW).total_seconds()
_AFTER_OUTAGE = 7.0
"""Seconds after which a router that could not write has written again."""

_MORE_WRITES = 4
"""A router writes at most this many times more than seconds have passed."""


class _Models:
    """A store that has every model."""

    async def lookup(self, model: str) -> ModelLookup:
        return ModelLookup(exists=True)


_MODELS: Any = _Models()
_POLICY = Policy({Backend.LLAMACPP: [Device.CPU]}, Backend.LLAMACPP, Device.CPU, default_ttl=5, max_deployments=9)


@dataclass(eq=False)
class Accepted:
    """A request that was passed on to an engine, whose answer is under way."""

    router: "Router"
    claim: Claim
    engine: str
    since: float
    leased: bool = False
    """Whether its router had a lease when it was passed on."""

    def has_lease(self, now: datetime, margin: timedelta = timedelta()) -> bool:
        """Whether its router has a lease now with so much left, by a clock without skew."""
        lease = self.claim.lease.state.lease
        return lease is not None and lease - margin > now + timedelta(seconds=self.router.skew)


class Router:
    """One process of a replica."""

    def __init__(self, world: "World", name: str, skew: float) -> None:
        def clock() -> datetime:
            return BEGINNING + timedelta(seconds=seconds() + skew)

        self.name = name
        self.skew = skew
        self.wire = Wire(world.store, name)
        deployments = Deployments(self.wire, clock)
        self.leases = Leases(self.wire, deployments, name, clock)
        self.unloader = Unloader(self.wire, deployments, self.leases, seconds)
        self.deployments = deployments
        self.activator = Activator(
            deployments=deployments,
            leases=self.leases,
            creator=Creator(self.wire, deployments, _MODELS, _POLICY),
            metrics=Metrics(),
            stats=Stats(self.wire, None, name, clock),
            deadline_seconds=3600,
            clock=clock,
        )
        self.tasks: set[asyncio.Task[Any]] = set()
        self.run(deployments.run())

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def die(self) -> None:
        """It ends. Only the writes that it has sent still arrive."""
        self.wire.dead = True
        for task in list(self.tasks):
            task.cancel()


@dataclass
class Demand:
    """How long requests want the present object to stay."""

    until: datetime = BEGINNING
    for_ever: bool = False

    def add(self, now: datetime, ttl: int) -> None:
        self.for_ever = self.for_ever or ttl == 0
        self.until = max(self.until, now + timedelta(seconds=ttl))


@dataclass(eq=False)
class World:
    """Make it on a running loop of virtual time. Skews in seconds: no two may be further apart than CLOCK_SKEW."""

    skews: tuple[float, float, float] = (0, 0, 0)
    declared_ttl: int | None = None
    """TTL of a deployment that a person has declared, which falls asleep. None: routers make the deployments."""
    by_version: bool = True
    """Whether the operator deletes only the version that it has read."""
    operator_seconds: float = 0
    """Seconds between the operator's read and its write."""
    faults: list[str] = field(default_factory=list[str])
    accepted: list[Accepted] = field(default_factory=list[Accepted])
    engines: set[str] = field(default_factory=set[str])
    """The endpoints that answer."""
    demand: Demand = field(default_factory=Demand)

    def __post_init__(self) -> None:
        self.store = Store(self._observe)
        self.starts = 0
        self.closed_at: float | None = None
        self.order: EvictionOrder | None = None
        self.operator_back_at = 0.0
        self._entries: dict[str, Object] = {}
        self._unload: datetime | None = None
        self._may_shrink: set[str] = set()
        self.routers: dict[str, Router] = {}
        self.lives: list[Router] = []
        self._operator = asyncio.create_task(self._operate())
        for name in NAMES:
            self.start(name)

    # -- What happens

    async def declare(self) -> None:
        """Creates a person's deployment, where this world has one."""
        if self.declared_ttl is not None:
            idle = {"ttlSeconds": self.declared_ttl, "action": "Sleep"}
            spec = {"model": MODEL, "backend": "llamacpp", "device": "cpu", "idle": idle}
            head = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
            await self.store.create(MODEL_DEPLOYMENTS, {**head, "metadata": {"name": "declared"}, "spec": spec})

    def start(self, name: str) -> None:
        """Starts a replica, or a new process of it."""
        self.routers[name] = Router(self, name, self.skews[NAMES.index(name)])
        self.lives.append(self.routers[name])

    def crash(self, name: str) -> None:
        """It crashes, and a new process begins. Answers through it are cut: that breaks no rule of leases."""
        router = self.routers[name]
        router.die()
        for each in self.accepted:
            if each.router is router:  # its last lease may have promised for what was in hand until now
                self.demand.add(self.now(), each.claim.ttl)
        self.accepted = [each for each in self.accepted if each.router is not router]
        self.start(name)

    def request(self, name: str, ttl: int) -> None:
        """A request comes to a replica."""
        router = self.routers[name]
        router.run(self._request(router, ttl))

    def end(self, at: int) -> None:
        """One of the answers under way ends, if there is one."""
        if not self.accepted:
            return
        each = self.accepted.pop(at % len(self.accepted))
        self.demand.add(self.now(), each.claim.ttl)
        each.router.activator.release(each.claim)

    def unload(self, name: str) -> None:
        """Somebody unloads the model through a replica."""
        router = self.routers[name]
        router.run(self._unload_through(router))

    def evict(self, order: EvictionOrder | None) -> None:
        """Another model needs room, or needs none any more."""
        self.order = order
        self.store.changed.set()

    def stop_operator(self, for_seconds: float) -> None:
        """The operator crashes wherever it is, and the next one comes after so many seconds."""
        self._operator.cancel()
        self.operator_back_at = seconds() + for_seconds
        self._operator = asyncio.create_task(self._operate())

    def now(self) -> datetime:
        """The time without any clock's skew."""
        return BEGINNING + timedelta(seconds=seconds())

    async def quiet(self) -> None:
        """Nothing happens any more, and nothing fails: at the end the model must be gone, unless it stays for ever.

        Before that each router still answers.
        """
        self.evict(None)
        for router in self.routers.values():
            router.wire.outcomes.clear()
            router.wire.out_until = router.wire.lag = 0
        while self.accepted:
            self.end(0)
        await asyncio.sleep(90)  # until all queued requests are answered, and all leases released
        await self._all_answer()
        while self.accepted:
            self.end(0)
        deployment = await self.deployment()
        if deployment is None or self.demand.for_ever or deployment.spec.idle.ttl_seconds == 0:
            return
        self.demand.add(deployment.status.loaded_at or self.now(), deployment.spec.idle.ttl_seconds)
        left = (self.demand.until - self.now() + GONE_WITHIN).total_seconds()
        await asyncio.sleep(max(left, GONE_WITHIN.total_seconds()))
        if self.engines:
            deployment = await self.deployment()
            self._wrong(f"it is still there: {deployment and deployment.status}, wanted until {self.demand.until}")

    async def _all_answer(self) -> None:
        for name in self.routers:
            before = len(self.accepted)
            self.request(name, 1)
            await asyncio.sleep(GONE_WITHIN.total_seconds())
            if len(self.accepted) == before:
                self._wrong(f"{name} does not pass a request on: {await self.deployment()}")

    async def deployment(self) -> ModelDeployment | None:
        """The deployment as it is stored."""
        found = (await self.store.list(MODEL_DEPLOYMENTS)).items
        return ModelDeployment.parse(found[0]) if found else None

    def check(self) -> None:
        """Raises AssertionError if a rule was broken."""
        for router in self.lives:
            for tries in router.wire.tries.values():
                for at, first in enumerate(tries):
                    most = max((number - (moment - first) for number, moment in enumerate(tries[at:], 1)), default=0)
                    assert most <= _MORE_WRITES, f"{router.name} writes too often: {tries[at:]}"
        assert not self.faults, self.faults

    # -- How

    async def _request(self, router: Router, ttl: int) -> None:
        self.demand.add(self.now(), ttl)
        ask = Ask(MODEL, backend=Backend.LLAMACPP, device=Device.CPU, ttl=ttl)
        try:
            claim = await router.activator.activate(ask, router.activator.deadline())
        except APIError:
            self.demand.add(self.now(), ttl)
            return
        engine = claim.deployment.status.endpoint or ""
        accepted = Accepted(router, claim, engine, seconds())
        accepted.leased = accepted.has_lease(self.now(), MARGIN)
        if engine not in self.engines and accepted.leased:  # without a lease it finds no engine, and gets an error
            self._wrong(f"{router.name} passes a request on to an engine that is gone")
        self.accepted.append(accepted)

    async def _unload_through(self, router: Router) -> None:
        found = list(router.deployments.of_model(MODEL))
        try:
            await router.unloader.unload(found)
        except APIError:
            return

    async def _operate(self) -> None:
        writer.set(OPERATOR)
        await asyncio.sleep(self.operator_back_at - seconds())
        while True:
            self.store.changed.clear()
            wait = 30.0
            deployment = await self.deployment()
            if deployment:
                try:
                    wait = await self._round(deployment)
                except (ConflictError, NotFoundError):
                    continue
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0.01)):
                    await self.store.changed.wait()

    async def _round(self, deployment: ModelDeployment) -> float:
        """One round of the operator. Returns the seconds until the next."""
        now = self.now() + timedelta(seconds=self.skews[2])
        as_read = Preconditions(deployment.uid, deployment.resource_version if self.by_version else None)
        asleep = deployment.status.phase is Phase.SLEEPING
        if asleep:
            for left_over in list(self.engines):
                self._stop_engine(left_over, "idle")
        if deployment.status.phase is None or (asleep and not is_asleep(deployment, now)):
            await self._start(deployment)
            return 0
        if gone := forgotten_entries(deployment, now):
            await self._write(deployment, {"activity": dict.fromkeys(gone)}, as_read)
            return 0
        if asleep:
            return 30
        order = self.order
        vacated = vacated_at(deployment, now) if order and order.close else None
        if idle_since(deployment, now) is not None or (vacated and vacated <= now):
            await self._put_out(deployment, as_read, now if vacated and vacated <= now else None)
            return 0
        eviction = eviction_status(deployment.status.eviction, order, now)
        if eviction != deployment.status.eviction:
            written = eviction.model_dump(mode="json", by_alias=True) if eviction else None
            await self._write(deployment, {"eviction": written}, as_read)
            return 0
        moments = [expires_at(deployment), vacated, renewed_at(eviction)]
        return min([30, *((moment - now).total_seconds() for moment in moments if moment)])

    async def _put_out(self, deployment: ModelDeployment, as_read: Preconditions, evicting: datetime | None) -> None:
        await asyncio.sleep(self.operator_seconds)
        if self.declared_ttl is None:
            await self.store.delete(MODEL_DEPLOYMENTS, deployment.name, as_read)
            return
        asleep: Object = {"phase": "Sleeping", "endpoint": None, "eviction": None}
        made_room = {"evictedAt": evicted(deployment, evicting).isoformat()} if evicting else {}
        await self._write(deployment, {**asleep, **made_room}, as_read)
        if evicting:
            self.demand = Demand()
        await asyncio.sleep(self.operator_seconds)
        self._stop_engine(deployment.status.endpoint or "", "evicted" if evicting else "idle")

    async def _start(self, deployment: ModelDeployment) -> None:
        await asyncio.sleep(_STARTS_SECONDS)
        self.starts += 1
        endpoint = f"http://engine-{self.starts}"
        self.engines.add(endpoint)
        now = self.now() + timedelta(seconds=self.skews[2])
        status = {"phase": "Ready", "endpoint": endpoint, "loadedAt": now.isoformat()}
        try:
            await self._write(deployment, status, Preconditions(deployment.uid))
        except ClusterError:
            self.engines.discard(endpoint)
            raise

    async def _write(self, deployment: ModelDeployment, status: Object, preconditions: Preconditions) -> None:
        await self.store.patch_status(MODEL_DEPLOYMENTS, deployment.name, status, preconditions)

    # -- What must hold

    def _wrong(self, what: str) -> None:
        self.faults.append(f"{seconds():.1f} s: {what}")

    def _observe(self, change: str, who: str, item: Object) -> None:
        """Looks at each change of the object as it happens."""
        deployment = ModelDeployment.parse(item)
        if change == "DELETED":
            why = "evicted" if evicted_until(deployment) else "idle"
            self._stop_engine(deployment.status.endpoint or "", why if who == OPERATOR else "unloaded")
            self.closed_at, self._unload, self.demand = None, None, Demand()
            self._entries.clear()
            self._may_shrink.clear()
            return
        closed = any(entry.closed_until for entry in deployment.status.activity.values())
        self.closed_at = (self.closed_at or seconds()) if closed else None
        unload = last_unload(deployment)
        if unload and (self._unload is None or unload > self._unload):
            self._unload = unload
            self._may_shrink.update(NAMES)
        entries: dict[str, Object] = item.get("status", {}).get("activity", {})
        for name, entry in entries.items():
            before = self._entries.get(name)
            if before and before["keepUntil"] > entry["keepUntil"]:
                if name not in self._may_shrink:
                    self._wrong(f"the promise of {name} shrinks from {before['keepUntil']} to {entry['keepUntil']}")
                self._may_shrink.discard(name)
        self._entries = entries

    def _stop_engine(self, endpoint: str, why: str) -> None:
        self.engines.discard(endpoint)
        cut = [each for each in self.accepted if each.engine == endpoint]
        self.accepted = [each for each in self.accepted if each.engine != endpoint]
        for each in cut:
            each.router.activator.release(each.claim)
            if not self._is_excused(each, why):
                self._wrong(f"an answer through {each.router.name} that began at {each.since:.1f} s is cut: {why}")

    def _is_excused(self, cut: Accepted, why: str) -> bool:
        """Whether it may be cut: its time to end was over, or its router could not reach the cluster for long."""
        now = seconds()
        if not (cut.leased or cut.has_lease(self.now())) and (why in ("unloaded", "evicted") or self._unload):
            return True  # passed on while its router could not write: nothing but an unload or an eviction may end it
        # The operator stops an engine so many seconds after it has put the deployment to sleep.
        could_not_renew = now < cut.router.wire.out_until + _AFTER_OUTAGE + self.operator_seconds
        if why == "unloaded":
            drained = self.closed_at is not None and now - self.closed_at >= unloader.DRAIN_SECONDS - 0.01
            return drained or (could_not_renew and not cut.has_lease(self.now()))
        return could_not_renew and now - cut.since > _SLOW_RENEWAL - 0.1
