"""Keeps the models that run together within a budget of memory, where no scheduler does it.

Before a pod is made its model's memory is estimated and `berth_api.budget.decide` asked: the pod is made, idle models
are put out first, or the deployment waits with the reason in its status. Those that wait are served in the order in
which they came, so that a large model is not passed over for ever by small ones.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from berth_api.activity import last_activity
from berth_api.budget import Evict, Hold, NeverFits, Resident, Start, Use, Verdict, Wait, Wanted, decide
from berth_api.model_deployment import Device, ModelDeployment, ModelDeploymentSpec, Phase
from berth_cluster.cluster import LABEL_DEPLOYMENT, MEMORY_ANNOTATION, MODEL_DEPLOYMENTS, PODS, Cluster, Object
from berth_operator.actions import CreatePod, Observed, Plan
from berth_operator.deployments.parts import annotations_of, is_deleting, labels_of, number, status_of
from berth_operator.deployments.plan import held_up, waiting
from berth_operator.deployments.reading import Reader
from berth_operator.deployments.status import memory_insufficient

_log = structlog.get_logger(__name__)

_LOOK_AGAIN = timedelta(seconds=1)
"""Should nothing be heard while it waits."""

_LOOK_AT_USE_SECONDS = 0.1
"""How often the use of busy models is looked at while it waits: the cluster is told only later that one is idle."""

PATIENCE = timedelta(seconds=5)
"""How long it waits for a busy model to become idle by itself.

After that models are closed to new requests, which then wait in turn.
"""

_PROMISE = timedelta(seconds=10)
"""How long memory is set aside for a pod that was allowed and has not appeared."""


class Evictor(Protocol):
    """Knows who uses which model, and puts models out without cutting an answer."""

    def use(self, deployment: ModelDeployment) -> Use:
        """The use of the deployment at this moment."""
        ...

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        """Keeps new requests for the deployment waiting until `unmark_evicting`."""
        ...

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        """Undoes `mark_evicting`."""
        ...

    async def evict(self, deployment: ModelDeployment) -> bool:
        """Has an idle deployment give its memory back; False, and nothing done, where it has become busy.

        Raises ClusterError.
        """
        ...


Estimate = Callable[[ModelDeploymentSpec], Awaitable[int | None]]
"""Bytes that a deployment will take; None where nothing can be said before its engine is asked."""


@dataclass(slots=True)
class _Waiting:
    """A deployment that has no room yet."""

    since: datetime
    closed: dict[str, ModelDeployment]
    """Busy deployments that get no new requests on its account, by name."""


class MemoryGate:
    """Admits pods within the budget of their device, in bytes. Devices without one are not counted."""

    def __init__(
        self,
        cluster: Cluster,
        budget: Mapping[Device, int],
        estimate: Estimate,
        evictor: Evictor,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._cluster = cluster
        self._budget = budget
        self._estimate = estimate
        self._evictor = evictor
        self._patience = patience
        self._deciding = asyncio.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._queued = asyncio.Event()
        self._reader = Reader("deployment", ModelDeployment.parse)
        self._busy: dict[str, ModelDeployment] = {}
        """Deployments that had requests in hand when somebody last waited for their memory."""
        self._promised: dict[str, tuple[datetime, Device, Resident]] = {}

    @property
    def waiting(self) -> tuple[str, ...]:
        """The deployments that have no room yet, in the order in which they came:
        to be looked at again whenever anything changes.
        """
        return tuple(self._waiting)

    def forget(self, name: str) -> None:
        """The deployment is gone, or wants no pod any more."""
        waiting_one = self._waiting.pop(name, None)
        if waiting_one:
            self._close(waiting_one, {})
        if not self._waiting:
            self._queued.clear()

    async def watch(self, wake: Callable[[str], None]) -> None:
        """Wakes those who wait as soon as a busy model is idle, for ever. It asks the router, and not the cluster."""
        while True:
            await self._queued.wait()
            try:
                idle = [name for name, deployment in self._busy.items() if not self._evictor.use(deployment).in_flight]
            except Exception:  # noqa: BLE001 (those who wait are looked at each second in any case)
                _log.exception("use_not_known")
                idle = []
            for name in idle:
                del self._busy[name]
            for name in self.waiting if idle else ():
                wake(name)
            await asyncio.sleep(_LOOK_AT_USE_SECONDS)

    async def admitted(self, plan: Plan, observed: Observed, now: datetime) -> Plan:
        """The plan, or what to do instead of making its pod now. Raises ClusterError."""
        created = next((action for action in plan.actions if isinstance(action, CreatePod)), None)
        deployment = observed.deployment
        budget = self._budget.get(deployment.spec.device)
        needed = await self._estimate(deployment.spec) if created and budget is not None else None
        if created is None or budget is None or needed is None:
            self.forget(deployment.name)
            return plan
        async with self._deciding:
            return await self._decided(plan, created, deployment, Wanted(deployment.name, needed), budget, now)

    async def _decided(
        self, plan: Plan, created: CreatePod, deployment: ModelDeployment, wanted: Wanted, budget: int, now: datetime
    ) -> Plan:
        queued = self._waiting.setdefault(wanted.name, _Waiting(now, {}))
        self._queued.set()
        device = deployment.spec.device
        living = await self._deployments()
        residents = await self._residents(living, deployment, created.manifest["metadata"]["name"], now)
        verdict = self._in_turn(
            decide(budget, residents, wanted, patient=now - queued.since < self._patience), wanted.name, living, device
        )
        match verdict:
            case Start():
                self.forget(wanted.name)
                return self._start(plan, created, deployment, wanted, now)
            case NeverFits(reason):
                self.forget(wanted.name)
                return held_up(plan, deployment, memory_insufficient(reason), now)
            case Evict(names):
                _log.info("making_room", deployment=wanted.name, bytes=wanted.bytes, evicted=names)
                for name in names:
                    await self._evictor.evict(living[name])
                return waiting(plan, deployment, f"{', '.join(names)} gives its memory back", now + _LOOK_AGAIN, now)
            case Wait(reason, close):
                self._close(queued, {name: living[name] for name in close})
                return waiting(plan, deployment, reason, now + _LOOK_AGAIN, now)

    def _in_turn(self, verdict: Verdict, name: str, living: Mapping[str, ModelDeployment], device: Device) -> Verdict:
        """The verdict; to wait where others came earlier that still wait for the same memory."""
        for gone in [other for other in self._waiting if other not in living]:
            self.forget(gone)
        first = next((other for other in self._waiting if living[other].spec.device is device), name)
        if first == name or isinstance(verdict, NeverFits):
            return verdict
        return Wait(f"{living[first].spec.model} waits for memory before it")

    def _start(
        self, plan: Plan, created: CreatePod, deployment: ModelDeployment, wanted: Wanted, now: datetime
    ) -> Plan:
        metadata: Object = created.manifest["metadata"]
        annotations = {**metadata.get("annotations", {}), MEMORY_ANNOTATION: str(wanted.bytes)}
        manifest = {**created.manifest, "metadata": {**metadata, "annotations": annotations}}
        resident = Resident(wanted.name, wanted.bytes, Hold.STARTING, now, now)
        self._promised[metadata["name"]] = (now + _PROMISE, deployment.spec.device, resident)
        return replace(plan, actions=[CreatePod(manifest) if action is created else action for action in plan.actions])

    async def _deployments(self) -> dict[str, ModelDeployment]:
        listed = await self._cluster.list(MODEL_DEPLOYMENTS)
        return {deployment.name: deployment for deployment in self._reader.read_all(listed.items)}

    async def _residents(
        self, living: Mapping[str, ModelDeployment], asking: ModelDeployment, own_pod: str, now: datetime
    ) -> list[Resident]:
        """What has memory of this device, but the pod that is asked for:
        each pod that has not ended, and what was promised to others.
        """
        device = asking.spec.device
        pods = {pod["metadata"]["name"]: pod for pod in (await self._cluster.list(PODS)).items}
        residents: list[Resident] = []
        for name, (until, of_device, resident) in list(self._promised.items()):
            if name in pods or name == own_pod or until < now:
                del self._promised[name]
            elif of_device is device:
                residents.append(resident)
        for name, pod in pods.items():
            size = number(annotations_of(pod).get(MEMORY_ANNOTATION))
            if size is None or name == own_pod or status_of(pod).get("phase") in ("Failed", "Succeeded"):
                continue
            owner = living.get(labels_of(pod).get(LABEL_DEPLOYMENT, ""))
            # Its own pod of an earlier attempt goes for the one that is asked for.
            leaving = is_deleting(pod) or (owner is not None and (owner.deleting or owner.uid == asking.uid))
            if owner is None or owner.spec.device is device:
                residents.append(self._resident(pod, owner, size, now, leaving=leaving))
        return residents

    def _resident(
        self, pod: Object, owner: ModelDeployment | None, size: int, now: datetime, *, leaving: bool
    ) -> Resident:
        if leaving:
            return Resident(pod["metadata"]["name"], size, Hold.LEAVING, now, now)
        if owner is None:  # of a deployment that cannot be understood: nobody will put it out
            return Resident(pod["metadata"]["name"], size, Hold.STARTING, now, now)
        use = self._evictor.use(owner)
        if use.in_flight:
            self._busy[owner.name] = owner
        started = owner.status.phase in (Phase.READY, Phase.UNRESPONSIVE)
        hold = Hold.STARTING if not started else Hold.BUSY if use.in_flight else Hold.IDLE
        since = owner.status.loaded_at or owner.created_at
        last_used = max(moment for moment in (use.last_used, last_activity(owner), since) if moment)
        return Resident(owner.name, size, hold, last_used, since, kept=owner.spec.idle.ttl_seconds == 0)

    def _close(self, waiting_one: _Waiting, wanted: dict[str, ModelDeployment]) -> None:
        """Has these, and only these, get no new requests on this account."""
        for name, deployment in list(waiting_one.closed.items()):
            if name not in wanted:
                del waiting_one.closed[name]
                if not any(name in other.closed for other in self._waiting.values()):
                    self._evictor.unmark_evicting(deployment)
        for name, deployment in wanted.items():
            if name not in waiting_one.closed:
                waiting_one.closed[name] = deployment
                self._evictor.mark_evicting(deployment)
