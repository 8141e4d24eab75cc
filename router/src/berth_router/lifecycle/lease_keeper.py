"""The leases of this replica: counts the requests in hand, and does what `leases.next_state` says.

A request of a model in use only changes a count. Everything else is an event; there is one writer for each deployment.
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
from berth_router.lifecycle.lease_entry import Order, Seen
from berth_router.lifecycle.lease_state import (
    Acknowledged,
    Begun,
    Changed,
    Ended,
    Event,
    Failed,
    Gone,
    Leaving,
    Ordered,
    Outdated,
    Passed,
    State,
    Tell,
    Tick,
    WakeAt,
    Wanted,
    Write,
)
from berth_router.lifecycle.leases import first_state, next_state

_log = structlog.get_logger(__name__)

_SOONEST_SECONDS = 0.001
"""The shortest timer: the loop's clock and the time of day don't agree to the microsecond."""


class DeploymentGoneError(Exception):
    """The deployment that a lease was for has been deleted."""


@dataclass(slots=True, eq=False)
class Lane:
    """All that this replica has to do with one deployment."""

    name: str
    uid: str
    state: State
    timer: asyncio.TimerHandle | None = None
    writing: asyncio.Task[None] | None = None
    granted: asyncio.Future[None] | None = None
    """What the requests wait for that need a lease."""
    ordered: dict[Order, asyncio.Future[None]] = field(default_factory=dict[Order, "asyncio.Future[None]"])
    drained: list[asyncio.Future[None]] = field(default_factory=list["asyncio.Future[None]"])
    """Of those who wait until nothing is in hand."""


@dataclass(slots=True, eq=False)
class Hold:
    """A deployment that is kept for one request. Each needs one `Leases.end`."""

    deployment: ModelDeployment
    """As it was when the request was let pass, or began to wait."""
    ttl: int
    lane: Lane
    epoch: int


class Leases:
    """The leases of one replica. `clock` tells the time of day; the loop's own clock times the writes."""

    def __init__(self, cluster: Cluster, deployments: Deployments, replica: str, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._replica = replica
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._leaving = False
        deployments.listen(self._changed)
        deployments.listen_for_end(self._gone)

    # -- Requests

    def begin_now(self, deployment: ModelDeployment, ttl: int) -> Hold | None:
        """Takes a request in hand that may be passed on at once; None, and nothing changed, where it has to wait.

        `ttl`: seconds for which the request wants the deployment kept when it is over, 0 for ever.
        """
        lane = self._lanes.get(deployment.uid)
        if lane is None:
            return None
        state, now = lane.state, self._clock()
        if state.may_begin(ttl, now):
            state.count_begin(ttl)
        elif now < state.usable_until:
            self._happens(lane, Begun(ttl))
        else:
            return None
        return Hold(deployment, ttl, lane, state.epoch)

    def begin(self, deployment: ModelDeployment, ttl: int) -> Hold:
        """Takes a request in hand that waits, for the deployment to be ready or for `protect`."""
        lane = self._lane(deployment)
        self._happens(lane, Begun(ttl))
        return Hold(deployment, ttl, lane, lane.state.epoch)

    def end(self, hold: Hold, *, promises: bool = True) -> None:
        """Lets a request go. `promises`: whether the deployment is to be kept for its TTL."""
        lane = hold.lane
        state = lane.state
        if state.in_hand > 1 or state.settling or state.gone:
            state.count_end(hold.ttl, hold.epoch, self._clock(), promises=promises)
        else:
            self._happens(lane, Ended(hold.ttl, hold.epoch, promises))
        if lane.drained and not lane.state.in_hand:
            _resolve(lane.drained)

    async def protect(self, hold: Hold) -> bool:
        """Whether the request may be passed on, once that can be said: nearly always at once.

        False: the deployment is closed to requests. Raises DeploymentGoneError, or ClusterError where the lease cannot
        be written.
        """
        lane = hold.lane
        while self._clock() >= lane.state.usable_until:
            if lane.state.gone:
                raise DeploymentGoneError(lane.name)
            if lane.state.leaving:
                raise UnavailableError("this router ends")
            if lane.state.is_closing(self._clock()):
                return False
            if lane.granted is None:
                lane.granted = _future()
            granted = lane.granted
            self._happens(lane, Wanted())
            try:
                # Shielded: a client that leaves must not undo what other requests wait for.
                await asyncio.shield(granted)
            except ClusterError:
                if self._clock() >= lane.state.usable_until:
                    raise
        if hold.epoch != lane.state.epoch:
            self._happens(lane, Passed(hold.ttl))
            hold.epoch = lane.state.epoch
        return True

    # -- What is in hand

    def in_flight(self, uid: str) -> int:
        """Requests of the deployment with this uid that this replica has in hand."""
        lane = self._lanes.get(uid)
        return lane.state.in_hand if lane else 0

    def in_flight_elsewhere(self, deployment: ModelDeployment) -> int:
        """Requests of the deployment that other replicas whose leases still run have told of."""
        now = self._clock()
        others = [entry for name, entry in deployment.status.activity.items() if name != self._replica]
        return sum(entry.in_flight for entry in others if (end := lease_of(entry)) and end > now)

    def last_activity(self, uid: str) -> datetime | None:
        """When this replica last had a request of the deployment with this uid in hand; None where it never had."""
        lane = self._lanes.get(uid)
        return lane.state.last_activity if lane else None

    async def drained(self, uid: str, within: float) -> bool:
        """Whether this replica's requests of the deployment have all ended within so many seconds."""
        lane = self._lanes.get(uid)
        if lane is None or not lane.state.in_hand:
            return True
        future = _future()
        lane.drained.append(future)
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(future)
        except TimeoutError:
            if future.done():  # in the very moment
                return True
            lane.drained.remove(future)
            return False
        return True

    def seconds_elsewhere(self, deployment: ModelDeployment) -> float:
        """In how many seconds the last lease of another replica is over by all clocks; 0 where none is left."""
        end = leased_until(deployment, besides=self._replica)
        return max((end + CLOCK_SKEW - self._clock()).total_seconds(), 0) if end else 0

    # -- Unloading

    async def close_to_requests(self, deployment: ModelDeployment, seconds: float) -> None:
        """Has every router pass the deployment no new requests for so long.

        Once it returns, the view shows every lease under which a router may still pass requests on: whoever takes one
        later sees that the deployment is closed. Raises ClusterError or DeploymentGoneError.
        """
        await self._order(deployment, Order(close_until=self._clock() + timedelta(seconds=seconds)))

    async def open_to_requests(self, deployment: ModelDeployment) -> None:
        """Undoes `close_to_requests`. Raises as it does."""
        await self._order(deployment, Order())

    async def unload(self, deployment: ModelDeployment) -> None:
        """Ends all promises that were made so far, and undoes `close_to_requests`. Raises as that does."""
        known = self._deployments.get(deployment.name) or deployment
        told = [entry.last_activity for entry in known.status.activity.values()]
        # Not before any request that was told of, whatever the clock that timed it.
        await self._order(deployment, Order(unload_at=max([self._clock(), *told])))

    async def leave(self) -> None:
        """Gives all leases back, as far as the cluster lets it. Promises stay."""
        self._leaving = True
        for lane in list(self._lanes.values()):
            self._happens(lane, Leaving())
        while writes := [lane.writing for lane in self._lanes.values() if lane.writing]:
            await asyncio.wait(writes)
        for lane in self._lanes.values():
            if lane.timer:
                lane.timer.cancel()

    # -- The machinery

    def _lane(self, deployment: ModelDeployment) -> Lane:
        lane = self._lanes.get(deployment.uid)
        if lane is None:
            held = self._deployments.get(deployment.name)
            known = held if held and held.uid == deployment.uid else deployment
            state = first_state(Seen.of(known, self._replica), self._clock())
            state.leaving = self._leaving
            lane = self._lanes[deployment.uid] = Lane(deployment.name, deployment.uid, state)
        return lane

    def _changed(self, deployment: ModelDeployment) -> None:
        lane = self._lanes.get(deployment.uid)
        if lane is None:
            own = deployment.status.activity.get(self._replica)
            if own is None or not own.lease_until or own.lease_until <= self._clock():
                return
            lane = self._lane(deployment)  # an earlier life's: to be given back
        self._happens(lane, Changed(Seen.of(deployment, self._replica)))

    def _gone(self, deployment: ModelDeployment) -> None:
        if lane := self._lanes.get(deployment.uid):
            self._end_lane(lane)

    def _end_lane(self, lane: Lane) -> None:
        self._lanes.pop(lane.uid, None)
        self._happens(lane, Gone())
        if lane.timer:
            lane.timer.cancel()
        gone = DeploymentGoneError(lane.name)
        for future in lane.ordered.values():
            _settle(future, gone)
        lane.ordered.clear()
        _resolve(lane.drained)

    async def _order(self, deployment: ModelDeployment, order: Order) -> None:
        lane = self._lane(deployment)
        future = lane.ordered.get(order)
        if future is None:
            future = lane.ordered[order] = _future()
            self._happens(lane, Ordered(order))
        await asyncio.shield(future)

    def _happens(self, lane: Lane, event: Event, error: Exception | None = None) -> None:
        """Takes an event in and does what follows. `error`: why a write failed."""
        lane.state, effects = next_state(lane.state, event, self._clock())
        for effect in effects:
            match effect:
                case Write():
                    lane.writing = asyncio.create_task(self._write(lane, effect))
                case WakeAt(at):
                    self._wake_at(lane, at)
                case Tell():
                    self._tell(lane, effect, error or _written_by_others(lane))

    def _tell(self, lane: Lane, word: Tell, error: Exception) -> None:
        future, lane.granted = lane.granted, None
        if future is None:
            return
        match word:
            case Tell.GRANTED:
                _resolve([future])
            case Tell.GONE:
                _settle(future, DeploymentGoneError(lane.name))
            case Tell.FAILED:
                _settle(future, error)

    def _wake_at(self, lane: Lane, at: datetime) -> None:
        if lane.timer:
            lane.timer.cancel()
        if lane.state.leaving:
            return
        seconds = max((at - self._clock()).total_seconds(), _SOONEST_SECONDS)
        lane.timer = asyncio.get_running_loop().call_later(seconds, self._happens, lane, Tick())

    async def _write(self, lane: Lane, write: Write) -> None:
        """Writes an entry; whatever goes wrong becomes an event."""
        event: Event = Failed()
        error: Exception | None = None
        try:
            event = await self._written(lane, write)
        except NotFoundError:
            event = Gone()
        except ClusterError as failure:
            _log.warning("lease_not_written", deployment=lane.name, error=str(failure))
            error = failure
        except Exception as failure:  # noqa: BLE001 (nothing may end the leases of a deployment that is used)
            _log.exception("lease_not_written", deployment=lane.name)
            error = UnavailableError(f"{type(failure).__name__}: {failure}")
        lane.writing = None
        if isinstance(event, Gone):
            self._forget(lane)
            return
        self._happens(lane, event, error)
        under_way = (*lane.state.orders, *(lane.state.writing.orders if lane.state.writing else ()))
        for order in write.entry.orders:
            if order not in under_way and (future := lane.ordered.pop(order, None)):
                _settle(future, error or (None if isinstance(event, Acknowledged) else _written_by_others(lane)))

    async def _written(self, lane: Lane, write: Write) -> Event:
        """What came of it. Raises ClusterError, and whatever a faulty cluster raises."""
        status = {"activity": {self._replica: write.entry.patch()}}
        try:
            written = await self._cluster.patch_status(
                MODEL_DEPLOYMENTS, lane.name, status, Preconditions(lane.uid, str(write.version))
            )
        except ConflictError:
            # Either somebody else has written to it, or another object bears the name by now.
            found = await self._cluster.get(MODEL_DEPLOYMENTS, lane.name)
            self._deployments.put(found)
            return Outdated(self._seen(found)) if found["metadata"]["uid"] == lane.uid else Gone()
        self._deployments.put(written)
        return Acknowledged(self._seen(written))

    def _seen(self, manifest: Object) -> Seen:
        return Seen.of(ModelDeployment.parse(manifest), self._replica)

    def _forget(self, lane: Lane) -> None:
        """The deployment is gone, as a write found out ahead of the watch."""
        held = self._deployments.get(lane.name)
        if held and held.uid == lane.uid:
            self._deployments.forget(held)  # which ends the lane
        else:
            self._end_lane(lane)


def _written_by_others(lane: Lane) -> UnavailableError:
    return UnavailableError(f"{lane.name} is being written by others all the time")


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        _settle(future, None)
    futures.clear()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    """Ends the future. An error that nobody waits for any more is no fault."""
    if future.done():
        return
    if error:
        future.set_exception(error)
        future.exception()
    else:
        future.set_result(None)
