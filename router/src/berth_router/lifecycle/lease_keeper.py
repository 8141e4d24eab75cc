"""The leases of this replica: it counts the requests in hand, and does what `lease_rules.next_state` decides.

A request for a model in use only changes a count. Everything else is an event. Each deployment has one writer.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from berth_api.activity import CLOCK_SKEW, lease_of, leased_until
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
    UnavailableError,
)
from berth_process.clock import Clock, utc_now
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_rules import first_state, next_state
from berth_router.lifecycle.lease_state import (
    DeploymentChanged,
    DeploymentRemoved,
    DeploymentVersion,
    Event,
    LeaseAnswer,
    LeaseNeeded,
    LeaseState,
    Order,
    OrderGiven,
    ReplicaLeaving,
    RequestBegan,
    RequestCarriedOver,
    RequestEnded,
    SetTimer,
    TimerFired,
    WriteEntry,
    WriteFailed,
    WriteOutdated,
    WriteStored,
)

_log = structlog.get_logger(__name__)

_SOONEST_SECONDS = 0.001
"""The shortest timer: the loop's clock and the time of day do not agree to the microsecond."""


class DeploymentGoneError(Exception):
    """The deployment that a lease was for has been deleted."""


@dataclass(slots=True, eq=False)
class DeploymentLease:
    """This replica's lease on one deployment, and who waits for what about it."""

    name: str
    uid: str
    state: LeaseState
    timer: asyncio.TimerHandle | None = None
    writing: asyncio.Task[None] | None = None
    granted: asyncio.Future[None] | None = None
    """Done when the requests that need a lease can go on."""
    ordered: dict[Order, asyncio.Future[None]] = field(default_factory=dict[Order, "asyncio.Future[None]"])
    drained: list[asyncio.Future[None]] = field(default_factory=list["asyncio.Future[None]"])
    """Done when no request is in hand any more."""


@dataclass(slots=True, eq=False)
class Claim:
    """One request's right to use a deployment. Each needs one `Leases.release`."""

    deployment: ModelDeployment
    """As it was when the request was passed on, or was queued."""
    ttl: int
    lease: DeploymentLease
    epoch: int


class Leases:
    """The leases of one replica. `clock` is the time of day; the loop's own clock times the writes."""

    def __init__(self, cluster: Cluster, deployments: Deployments, replica: str, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._replica = replica
        self._clock = clock
        self._leases: dict[str, DeploymentLease] = {}
        self._leaving = False
        deployments.listen(self._changed)
        deployments.listen_for_removal(self._gone)

    # -- Claims

    def claim_now(self, deployment: ModelDeployment, ttl: int) -> Claim | None:
        """A claim for a request that may be passed on at once. None, and nothing has changed: it has to wait.

        `ttl`: seconds for which the model stays after the request, 0 for ever.
        """
        lease = self._leases.get(deployment.uid)
        if lease is None:
            return None
        state, now = lease.state, self._clock()
        if state.may_begin(ttl, now):
            state.count_begin(ttl)
        elif now < state.usable_until:
            self._handle(lease, RequestBegan(ttl))
        else:
            return None
        return Claim(deployment, ttl, lease, state.epoch)

    def claim(self, deployment: ModelDeployment, ttl: int) -> Claim:
        """A claim for a request that waits: for the deployment to be ready, or for `ensure_lease`."""
        lease = self._lease_on(deployment)
        self._handle(lease, RequestBegan(ttl))
        return Claim(deployment, ttl, lease, lease.state.epoch)

    def release(self, claim: Claim, *, promises: bool = True) -> None:
        """Ends a claim. `promises`: whether the model stays for the TTL of the request."""
        lease = claim.lease
        state = lease.state
        if state.in_hand > 1 or state.settling or state.gone:
            state.count_end(claim.ttl, claim.epoch, self._clock(), promises=promises)
        else:
            self._handle(lease, RequestEnded(claim.ttl, claim.epoch, promises))
        if lease.drained and not lease.state.in_hand:
            _resolve(lease.drained)

    async def ensure_lease(self, claim: Claim) -> bool:
        """Waits until this replica has a lease: nearly always it has one. False: the deployment is closed.

        Raises DeploymentGoneError, or ClusterError where the lease cannot be written.
        """
        lease = claim.lease
        while self._clock() >= lease.state.usable_until:
            if lease.state.gone:
                raise DeploymentGoneError(lease.name)
            if lease.state.leaving:
                raise UnavailableError("this router ends")
            if lease.state.is_closed(self._clock()):
                return False
            if lease.granted is None:
                lease.granted = _future()
            granted = lease.granted
            self._handle(lease, LeaseNeeded())
            try:
                # Shielded: a client that leaves must not cancel what other requests wait for.
                await asyncio.shield(granted)
            except ClusterError:
                if self._clock() >= lease.state.usable_until:
                    raise
        if claim.epoch != lease.state.epoch:
            self._handle(lease, RequestCarriedOver(claim.ttl))
            claim.epoch = lease.state.epoch
        return True

    # -- What is in hand

    def in_flight(self, uid: str) -> int:
        """How many requests for the deployment of this uid this replica has in hand."""
        lease = self._leases.get(uid)
        return lease.state.in_hand if lease else 0

    def in_flight_elsewhere(self, deployment: ModelDeployment) -> int:
        """How many requests in hand other replicas report, as far as their leases still run."""
        now = self._clock()
        others = [entry for name, entry in deployment.status.activity.items() if name != self._replica]
        return sum(entry.in_flight for entry in others if (end := lease_of(entry)) and end > now)

    def last_activity(self, uid: str) -> datetime | None:
        """When this replica last had a request for the deployment of this uid in hand. None: never."""
        lease = self._leases.get(uid)
        return lease.state.last_activity if lease else None

    async def drained(self, uid: str, within: float) -> bool:
        """Waits until this replica's requests for the deployment have ended. False: not `within` so many seconds."""
        lease = self._leases.get(uid)
        if lease is None or not lease.state.in_hand:
            return True
        future = _future()
        lease.drained.append(future)
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(future)
        except TimeoutError:
            if future.done():  # in this very moment
                return True
            lease.drained.remove(future)
            return False
        return True

    def seconds_elsewhere(self, deployment: ModelDeployment) -> float:
        """In how many seconds the last lease of another replica ends by all clocks. 0: there is none."""
        end = leased_until(deployment, besides=self._replica)
        return max((end + CLOCK_SKEW - self._clock()).total_seconds(), 0) if end else 0

    # -- Unloading

    async def close_to_requests(self, deployment: ModelDeployment, seconds: float) -> None:
        """Closes the deployment to new claims of every router, for so long.

        Once this returns, the view shows every lease under which a router may still pass requests on: a router that
        takes a lease later sees that the deployment is closed. Raises ClusterError or DeploymentGoneError.
        """
        await self._order(deployment, Order(close_until=self._clock() + timedelta(seconds=seconds)))

    async def open_to_requests(self, deployment: ModelDeployment) -> None:
        """Undoes `close_to_requests`. Raises what that raises."""
        await self._order(deployment, Order())

    async def unload(self, deployment: ModelDeployment) -> None:
        """Ends all promises that were made so far, and undoes `close_to_requests`. Raises what that raises."""
        known = self._deployments.get(deployment.name) or deployment
        reported = [entry.last_activity for entry in known.status.activity.values()]
        # Not before any request that a replica has reported, whatever the clock of that replica.
        await self._order(deployment, Order(unload_at=max([self._clock(), *reported])))

    async def leave(self) -> None:
        """Releases all leases, as far as the cluster allows. Promises stay."""
        self._leaving = True
        for lease in list(self._leases.values()):
            self._handle(lease, ReplicaLeaving())
        while writes := [lease.writing for lease in self._leases.values() if lease.writing]:
            await asyncio.wait(writes)
        for lease in self._leases.values():
            if lease.timer:
                lease.timer.cancel()

    # -- Events and writes

    def _lease_on(self, deployment: ModelDeployment) -> DeploymentLease:
        lease = self._leases.get(deployment.uid)
        if lease is None:
            viewed = self._deployments.get(deployment.name)
            known = viewed if viewed and viewed.uid == deployment.uid else deployment
            state = first_state(DeploymentVersion.of(known, self._replica), self._clock())
            state.leaving = self._leaving
            lease = self._leases[deployment.uid] = DeploymentLease(deployment.name, deployment.uid, state)
        return lease

    def _changed(self, deployment: ModelDeployment) -> None:
        lease = self._leases.get(deployment.uid)
        if lease is None:
            own = deployment.status.activity.get(self._replica)
            if own is None or not own.lease_until or own.lease_until <= self._clock():
                return
            lease = self._lease_on(
                deployment
            )  # an earlier process of this replica has left a lease, which is to be released
        self._handle(lease, DeploymentChanged(DeploymentVersion.of(deployment, self._replica)))

    def _gone(self, deployment: ModelDeployment) -> None:
        if lease := self._leases.get(deployment.uid):
            self._end_lease(lease)

    def _end_lease(self, lease: DeploymentLease) -> None:
        self._leases.pop(lease.uid, None)
        self._handle(lease, DeploymentRemoved())
        if lease.timer:
            lease.timer.cancel()
        gone = DeploymentGoneError(lease.name)
        for future in lease.ordered.values():
            _settle(future, gone)
        lease.ordered.clear()
        _resolve(lease.drained)

    async def _order(self, deployment: ModelDeployment, order: Order) -> None:
        lease = self._lease_on(deployment)
        future = lease.ordered.get(order)
        if future is None:
            future = lease.ordered[order] = _future()
            self._handle(lease, OrderGiven(order))
        await asyncio.shield(future)

    def _handle(self, lease: DeploymentLease, event: Event, error: Exception | None = None) -> None:
        """Applies an event and does what follows from it. `error`: why a write failed."""
        lease.state, effects = next_state(lease.state, event, self._clock())
        for effect in effects:
            match effect:
                case WriteEntry():
                    lease.writing = asyncio.create_task(self._write(lease, effect))
                case SetTimer(at):
                    self._set_timer(lease, at)
                case LeaseAnswer():
                    self._answer(lease, effect, error or _written_by_others(lease))

    def _answer(self, lease: DeploymentLease, answer: LeaseAnswer, error: Exception) -> None:
        future, lease.granted = lease.granted, None
        if future is None:
            return
        match answer:
            case LeaseAnswer.GRANTED:
                _resolve([future])
            case LeaseAnswer.GONE:
                _settle(future, DeploymentGoneError(lease.name))
            case LeaseAnswer.FAILED:
                _settle(future, error)

    def _set_timer(self, lease: DeploymentLease, at: datetime) -> None:
        if lease.timer:
            lease.timer.cancel()
        if lease.state.leaving:
            return
        seconds = max((at - self._clock()).total_seconds(), _SOONEST_SECONDS)
        lease.timer = asyncio.get_running_loop().call_later(seconds, self._handle, lease, TimerFired())

    async def _write(self, lease: DeploymentLease, write: WriteEntry) -> None:
        """Writes an entry. Its result, or what went wrong, becomes an event."""
        event: Event = WriteFailed()
        error: Exception | None = None
        try:
            event = await self._patch_entry(lease, write)
        except NotFoundError:
            event = DeploymentRemoved()
        except ClusterError as failure:
            _log.warning("lease_not_written", deployment=lease.name, error=str(failure))
            error = failure
        except Exception as failure:  # noqa: BLE001 (no fault may end the leases of a deployment in use)
            _log.exception("lease_not_written", deployment=lease.name)
            error = UnavailableError(f"{type(failure).__name__}: {failure}")
        lease.writing = None
        if isinstance(event, DeploymentRemoved):
            self._forget(lease)
            return
        self._handle(lease, event, error)
        under_way = (*lease.state.orders, *(lease.state.writing.orders if lease.state.writing else ()))
        for order in write.entry.orders:
            if order not in under_way and (future := lease.ordered.pop(order, None)):
                _settle(future, error or (None if isinstance(event, WriteStored) else _written_by_others(lease)))

    async def _patch_entry(self, lease: DeploymentLease, write: WriteEntry) -> Event:
        """The result of the write. Raises ClusterError, and whatever a faulty cluster raises."""
        status = {"activity": {self._replica: write.entry.patch()}}
        try:
            written = await self._cluster.patch_status(
                MODEL_DEPLOYMENTS, lease.name, status, Preconditions(lease.uid, str(write.version))
            )
        except ConflictError:
            # Another writer has changed the object, or another object has this name by now.
            found = await self._cluster.get(MODEL_DEPLOYMENTS, lease.name)
            self._deployments.put(found)
            return WriteOutdated(self._seen(found)) if found["metadata"]["uid"] == lease.uid else DeploymentRemoved()
        self._deployments.put(written)
        return WriteStored(self._seen(written))

    def _seen(self, manifest: Object) -> DeploymentVersion:
        return DeploymentVersion.of(ModelDeployment.parse(manifest), self._replica)

    def _forget(self, lease: DeploymentLease) -> None:
        """Forgets a deployment that a write found gone, before the watch reports it."""
        viewed = self._deployments.get(lease.name)
        if viewed and viewed.uid == lease.uid:
            self._deployments.forget(viewed)  # which ends the lease
        else:
            self._end_lease(lease)


def _written_by_others(lease: DeploymentLease) -> UnavailableError:
    return UnavailableError(f"{lease.name} is being written by others all the time")


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        _settle(future, None)
    futures.clear()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    """Ends the future. An error that nobody waits for any more is not reported."""
    if future.done():
        return
    if error:
        future.set_exception(error)
        future.exception()
    else:
        future.set_result(None)
