"""Keeps what is known of room, has it decided, and says what that means for each deployment.

It decides nothing itself: `berth_api.room` does, from a snapshot of all that stands and all that is wanted. What the
decision says of a deployment is carried out by that deployment's own worker, in its next round: a pod is made or not
yet, the status says why, and a victim is closed, drained and put out. So each object has one writer, and whatever is
killed in between is decided anew.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from berth_api.activity import CLOCK_SKEW
from berth_api.model_deployment import Device, ModelDeployment
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
from berth_api.room.forecast import Forecast, read_forecast
from berth_api.room.snapshot import (
    Amounts,
    PendingPod,
    Resident,
    ResidentState,
    RoomDemand,
    RoomSettings,
    RoomSnapshot,
    TolerationRule,
)
from berth_cluster.cluster import Object
from berth_operator.room.history import Histories
from berth_operator.room.orders import EvictionOrder
from berth_operator.room.places import Places
from berth_operator.room.standing import StandingDeployment, StandingPod, toleration_rules
from berth_process.clock import Clock

_log = structlog.get_logger(__name__)

_ADMITTED = timedelta(seconds=10)
"""How long room is kept for a pod that was admitted and has not appeared."""

_LOOK_AGAIN_SECONDS = 1.0
"""How often it is decided anew while somebody waits, though nothing has changed: some reasons end by time alone."""

_MOST_ASKED = 8
"""Busy models that are asked at once to say when they are idle."""

Verdict = StartModel | KeepWaiting | RefuseModel | WithdrawPod


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment whose pod is to be made as soon as there is room."""

    needs: tuple[Amounts, ...]
    since: datetime
    node_selector: Mapping[str, str]
    tolerations: tuple[TolerationRule, ...]
    pod: str
    """The name that its pod will have."""
    admitted: PendingPod | None = None
    admitted_until: datetime | None = None

    def is_admitted(self, now: datetime) -> bool:
        """Whether its pod is being made."""
        return self.admitted_until is not None and self.admitted_until > now


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided last."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict[str, Verdict])
    """By deployment."""
    orders: Mapping[str, EvictionOrder] = field(default_factory=dict[str, EvictionOrder])
    """By the deployment that makes room."""


class RoomKeeper:
    """Keeps the books of room for one namespace. `wake` has a deployment reconciled."""

    def __init__(self, places: Places, settings: RoomSettings, clock: Clock, wake: Callable[[str], None]) -> None:
        self._places = places
        self._settings = settings
        self._clock = clock
        self._wake = wake
        self._deployments: dict[str, StandingDeployment] = {}
        self._pods: dict[str, StandingPod] = {}
        self._wanted: dict[str, Wanted] = {}
        self._histories = Histories()
        self._decided = Decided()
        self._changed = asyncio.Event()

    @property
    def autoscaled(self) -> bool:
        """Whether nodes are added for pods that find none."""
        return self._settings.autoscaled

    # -- What is seen

    def see_deployment(self, deployment: ModelDeployment, *, declared: bool) -> None:
        """Takes in a deployment as it is now. `declared`: a person has made it."""
        before = self._deployments.get(deployment.name)
        now = StandingDeployment.of(deployment, self._clock(), declared=declared)
        self._deployments[deployment.name] = now
        self._histories.see(before, now, self._clock())
        if before != now:
            self._changed.set()

    def see_pod(self, pod: Object) -> None:
        """Takes in a pod of a deployment as it is now."""
        seen = StandingPod.of(pod, self._places.holds(pod), self._clock())
        if self._pods.get(seen.name) != seen:
            self._pods[seen.name] = seen
            self._changed.set()

    def lose_deployment(self, name: str) -> None:
        """The deployment is gone."""
        self._wanted.pop(name, None)
        if self._deployments.pop(name, None):
            self._changed.set()

    def lose_pod(self, name: str) -> None:
        """The pod is gone."""
        if self._pods.pop(name, None):
            self._changed.set()

    # -- What is asked

    def want(self, deployment: ModelDeployment, pod: Object, needs: tuple[Amounts, ...]) -> Verdict | None:
        """Whether this pod may be made now. None: nothing that it needs is counted."""
        name, now = deployment.name, self._clock()
        if not needs:
            self.drop(name)
            return None
        spec, known = pod["spec"], self._wanted.get(name)
        queued = deployment.status.queue
        wanted = Wanted(
            needs=needs,
            since=known.since if known else (queued.since if queued else now),
            node_selector=spec.get("nodeSelector") or {},
            tolerations=toleration_rules(spec),
            pod=pod["metadata"]["name"],
            admitted=known.admitted if known else None,
            admitted_until=known.admitted_until if known else None,
        )
        if known and (wanted.pod != known.pod or needs != known.needs):  # another pod, which was not admitted
            wanted = replace(wanted, admitted=None, admitted_until=None)
        self._wanted[name] = replace(wanted, admitted_until=None)
        self._decide(now)
        verdict = self._decided.verdicts.get(name)
        if isinstance(verdict, StartModel):
            self._wanted[name] = replace(wanted, admitted=PendingPod(verdict.shape), admitted_until=now + _ADMITTED)
        return verdict

    def drop(self, name: str) -> None:
        """The deployment needs no further pod now."""
        wanted = self._wanted.get(name)
        if wanted and not (wanted.is_admitted(self._clock()) and wanted.pod not in self._pods):
            del self._wanted[name]
            self._changed.set()

    def verdict(self, name: str) -> Verdict | None:
        """What was decided of a deployment that waits for room, or whose pod waits for a node."""
        return self._decided.verdicts.get(name)

    def since(self, name: str) -> datetime | None:
        """Since when the deployment waits for room; None where it does not."""
        wanted, standing = self._wanted.get(name), self._deployments.get(name)
        return wanted.since if wanted else (standing.queued_since if standing else None)

    def order(self, name: str) -> EvictionOrder | None:
        """That the deployment has to make room; None where it need not."""
        return self._decided.orders.get(name)

    def forecast(self, name: str, pod: Object, needs: tuple[Amounts, ...], priority: int) -> Forecast:
        """What would happen if the deployment of this name, which has no pod, were asked for now. Nothing changes."""
        return read_forecast(name, self._foreseen(name, pod, needs, priority))

    def refusal(self, name: str, pod: Object, needs: tuple[Amounts, ...], priority: int) -> RefuseModel | None:
        """Why the deployment of this name could never have room for this pod. None: it may. Nothing changes."""
        foreseen = self._foreseen(name, pod, needs, priority)
        return next((each for each in foreseen if isinstance(each, RefuseModel) and each.name == name), None)

    def _foreseen(self, name: str, pod: Object, needs: tuple[Amounts, ...], priority: int) -> Sequence[RoomAction]:
        now, spec = self._clock(), pod["spec"]
        demand = RoomDemand(
            name=name,
            needs=needs,
            since=self.since(name) or now,
            node_selector=spec.get("nodeSelector") or {},
            tolerations=toleration_rules(spec),
            priority=priority,
        )
        known = self.snapshot(now)
        others = tuple(each for each in known.demands if each.name != name)
        return decide(replace(known, demands=(*others, demand)), self._settings, now)

    async def run(self) -> None:
        """Decides whenever something has changed, and wakes those whom that concerns. For ever."""
        while True:
            waits = bool(self._wanted or self._decided.verdicts or self._decided.orders)
            try:
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS if waits else None):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                self._decide(self._clock())
            except Exception:  # noqa: BLE001 (what cannot be decided now is tried again; nothing starts or goes meanwhile)
                _log.exception("room_not_decided")
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    # -- How

    def _decide(self, now: datetime) -> None:
        snapshot = self.snapshot(now)
        if not snapshot.demands and not self._decided.orders and not self._decided.verdicts:
            return
        actions = decide(snapshot, self._settings, now)
        before, self._decided = self._decided, _read(actions, snapshot)
        _log_news(actions, before)
        for name in _whom_it_concerns(before, self._decided):
            self._wake(name)

    def snapshot(self, now: datetime) -> RoomSnapshot:
        """All that is known now."""
        residents: list[Resident] = []
        demands = {name: self._demand(name, each, now) for name, each in self._wanted.items()}
        for pod in self._pods.values():
            if pod.ended:
                continue
            owner = self._deployments.get(pod.deployment)
            node = self._places.node_of(owner.device if owner else Device.CPU, pod.node, pod.node_selector)
            if node is None:
                if owner and not pod.leaving and not owner.deleting:
                    demands[owner.name] = self._pending(owner, pod, now)
                continue
            resident = self._resident(owner, pod, node, now)
            if resident.state is not ResidentState.LEAVING:
                demands.pop(resident.name, None)
            residents.append(resident)
        return RoomSnapshot(
            self._places.nodes(), tuple(residents), tuple(demands.values()), self._places.foreign_waiting()
        )

    def _demand(self, name: str, wanted: Wanted, now: datetime) -> RoomDemand:
        owner = self._deployments.get(name)
        return RoomDemand(
            name=name,
            needs=wanted.needs,
            since=wanted.since,
            node_selector=wanted.node_selector,
            tolerations=wanted.tolerations,
            priority=owner.priority if owner else 0,
            waited_for=wanted.is_admitted(now) or owner is None or owner.is_waited_for(now),
            pod=wanted.admitted if wanted.is_admitted(now) else None,
        )

    def _pending(self, owner: StandingDeployment, pod: StandingPod, now: datetime) -> RoomDemand:
        return RoomDemand(
            name=owner.name,
            needs=(pod.holds,),
            since=owner.queued_since or pod.created_at,
            node_selector=pod.node_selector,
            tolerations=pod.tolerations,
            priority=owner.priority,
            waited_for=owner.is_waited_for(now),
            pod=pod.pending,
        )

    def _resident(self, owner: StandingDeployment | None, pod: StandingPod, node: str, now: datetime) -> Resident:
        if owner is None:  # its deployment is gone, or cannot be read: nobody will evict it
            state = ResidentState.LEAVING if pod.leaving else ResidentState.STARTING
            return Resident(pod.name, node, pod.holds, state, pod.created_at, pod.created_at)
        history = self._histories.of(owner.name)
        return Resident(
            name=owner.name,
            node=node,
            holds=pod.holds,
            state=ResidentState.LEAVING if self._makes_way(owner, pod) else _state(owner, pod, now),
            since=owner.since if owner.serves else pod.created_at,
            last_used=owner.last_used,
            priority=owner.priority,
            pinned=owner.pinned,
            endless=owner.endless,
            closed=owner.closed,
            hindered=pod.hindered,
            start_seconds=history.start_seconds,
            asks=history.asks,
            node_selector=pod.node_selector,
            tolerations=pod.tolerations,
            min_residency=owner.min_residency,
            max_residency=owner.max_residency,
        )

    def _makes_way(self, owner: StandingDeployment, pod: StandingPod) -> bool:
        """Whether the deployment's next pod, which is to be made, takes the place of this one."""
        wanted = self._wanted.get(owner.name)
        return wanted is not None and wanted.pod != pod.name


def _state(owner: StandingDeployment, pod: StandingPod, now: datetime) -> ResidentState:
    if pod.leaving or owner.deleting or (owner.serves and owner.pod not in (None, pod.name)):
        return ResidentState.LEAVING
    if not owner.serves:
        return ResidentState.STARTING
    return ResidentState.BUSY if owner.is_busy(now - CLOCK_SKEW) else ResidentState.IDLE


def _read(actions: tuple[RoomAction, ...], snapshot: RoomSnapshot) -> Decided:
    verdicts: dict[str, Verdict] = {}
    orders: dict[str, EvictionOrder] = {}
    for action in actions:
        match action:
            case EvictModels(victims, demand):
                orders.update({name: EvictionOrder(demand, close=True) for name in victims})
            case CloseModels(names, demand):
                orders.update({name: EvictionOrder(demand, close=True) for name in names})
            case _:
                verdicts[action.name] = action
    _ask_the_busy(verdicts, orders, snapshot)
    return Decided(verdicts, orders)


def _log_news(actions: tuple[RoomAction, ...], before: Decided) -> None:
    """Logs who has to leave now and had not to before: the same is decided again and again until they have left."""
    for action in actions:
        match action:
            case EvictModels(names, demand):
                event = "making_room"
            case CloseModels(names, demand):
                event = "closing_for_room"
            case _:
                continue
        order = EvictionOrder(demand, close=True)
        if any(before.orders.get(name) != order for name in names):
            _log.info(event, deployment=demand, victims=names, message=action.message)


def _ask_the_busy(verdicts: Mapping[str, Verdict], orders: dict[str, EvictionOrder], snapshot: RoomSnapshot) -> None:
    """Has the routers of a few busy models say at once when these are idle, where somebody waits and nothing leaves.

    A router keeps its lease for a moment after its last request, so that most requests need no write. Until it gives
    the lease back the model seems busy.
    """
    served = {order.wanted_by for order in orders.values()}
    for demand in snapshot.demands:
        verdict = verdicts.get(demand.name)
        if not isinstance(verdict, KeepWaiting) or demand.name in served or len(orders) >= _MOST_ASKED:
            continue
        busy = [
            each
            for each in snapshot.residents
            if each.state is ResidentState.BUSY
            and not each.pinned
            and each.priority <= demand.priority
            and each.holds.keys() & demand.needs[-1].keys()
            and each.name not in orders
        ]
        busy.sort(key=lambda each: (each.last_used, each.name))
        orders.update(
            {each.name: EvictionOrder(demand.name, close=False) for each in busy[: _MOST_ASKED - len(orders)]}
        )


def _whom_it_concerns(before: Decided, now: Decided) -> set[str]:
    """The deployments of which something else is decided now than before."""
    orders = {name for name in {*before.orders, *now.orders} if before.orders.get(name) != now.orders.get(name)}
    verdicts = {
        name
        for name in {*before.verdicts, *now.verdicts}
        if _gist(before.verdicts.get(name)) != _gist(now.verdicts.get(name))
    }
    return orders | verdicts


def _gist(verdict: Verdict | None) -> object:
    """What of a verdict is news: not an estimate that goes on counting."""
    match verdict:
        case KeepWaiting(_, place):
            return "waits", place, verdict.reason
        case _:
            return verdict
