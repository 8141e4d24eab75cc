"""Keeps the models that run together within a budget of memory, where no scheduler does that.

Before a pod is made, its model's memory is estimated and `berth_api.budget.decide` is asked. Then the pod is made, or
idle models are evicted first, or the deployment waits with the reason in its status. The deployments that wait are
served in the order in which they came, so that small models do not overtake a large one for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from berth_api.activity import last_activity
from berth_api.budget import (
    Demand,
    Evict,
    Occupancy,
    Occupant,
    Start,
    TooLarge,
    Usage,
    Verdict,
    Wait,
    decide,
    first_that_fits,
)
from berth_api.model_deployment import Device, ModelDeployment, ModelDeploymentSpec, Phase
from berth_cluster.cluster import (
    CONTEXT_ANNOTATION,
    LABEL_DEPLOYMENT,
    MEMORY_ANNOTATION,
    MODEL_DEPLOYMENTS,
    PODS,
    TRAINED_CONTEXT_ANNOTATION,
    Cluster,
    Object,
)
from berth_operator.deployments.actions import CreatePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.plan import blocked, waiting_for_memory
from berth_operator.engines.llamacpp import with_context_size
from berth_operator.objects.parts import annotations_of, is_deleting, labels_of, number
from berth_operator.objects.pod_failure import Cause
from berth_operator.objects.pods import has_ended
from berth_operator.reconciling.reading import ObjectReader

_log = structlog.get_logger(__name__)

_LOOK_AGAIN = timedelta(seconds=1)
"""When a deployment that waits is looked at again, if nothing has changed."""

_USAGE_POLL_SECONDS = 0.1
"""How often the router is asked whether a busy model is idle now: the cluster shows that only later."""

PATIENCE = timedelta(seconds=5)
"""How long a deployment waits until a busy model becomes idle by itself.

After that, models are closed: new requests for them wait in turn.
"""

_RESERVED_FOR = timedelta(seconds=10)
"""How long memory is reserved for a pod that was admitted and has not appeared."""


class ModelEviction(Protocol):
    """Knows how each model is used, and evicts models without cutting an answer."""

    def usage(self, deployment: ModelDeployment) -> Usage:
        """The usage of the deployment at this moment."""
        ...

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        """Queues new requests for the deployment until `unmark_evicting`."""
        ...

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        """Undoes `mark_evicting`."""
        ...

    async def evict(self, deployment: ModelDeployment) -> bool:
        """Unloads an idle deployment. False, and nothing is done, where it has become busy. Raises ClusterError."""
        ...


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """A context that a deployment can have, and what it takes then."""

    bytes: int
    context_size: int | None = None
    """Tokens. None: its engine decides."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a deployment will take."""

    choices: tuple[ContextChoice, ...]
    """The largest context first. There is one at least, and no second one where the spec states the context."""
    trained_context_size: int | None = None
    """Tokens that the model was made for; None where its files do not say."""


Estimate = Callable[[ModelDeploymentSpec], Awaitable[MemoryEstimate | None]]
"""Returns None where only the deployment's engine can tell."""


@dataclass(slots=True)
class _Waiting:
    """A deployment that has no room yet."""

    since: datetime
    closed: dict[str, ModelDeployment]
    """Busy deployments that are closed for its sake, by name."""


class MemoryGate:
    """Admits pods within the budget of their device, in bytes. Devices without one are not counted."""

    def __init__(
        self,
        cluster: Cluster,
        budget: Mapping[Device, int],
        estimate: Estimate,
        eviction: ModelEviction,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._cluster = cluster
        self._budget = budget
        self._estimate = estimate
        self._eviction = eviction
        self._patience = patience
        self._deciding = asyncio.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._somebody_waits = asyncio.Event()
        self._reader = ObjectReader("deployment", ModelDeployment.parse)
        self._busy: dict[str, ModelDeployment] = {}
        """Deployments that had requests in hand when their memory was last wanted, by name."""
        self._reserved: dict[str, tuple[datetime, Device, Occupant]] = {}
        """Memory of admitted pods that have not appeared, by pod: until when, of which device, and for whom."""

    @property
    def waiting(self) -> tuple[str, ...]:
        """The deployments that have no room yet, in the order in which they came.

        Each is to be looked at again whenever anything changes.
        """
        return tuple(self._waiting)

    def forget(self, name: str) -> None:
        """The deployment is gone, or needs no pod any more."""
        waiting_one = self._waiting.pop(name, None)
        if waiting_one:
            self._close(waiting_one, {})
        if not self._waiting:
            self._somebody_waits.clear()

    async def watch(self, wake: Callable[[str], None]) -> None:
        """Wakes the deployments that wait as soon as a busy model is idle. Runs for ever; asks the router alone."""
        while True:
            await self._somebody_waits.wait()
            try:
                idle = [
                    name for name, deployment in self._busy.items() if not self._eviction.usage(deployment).in_flight
                ]
            except Exception:  # noqa: BLE001 (each deployment that waits is looked at every second in any case)
                _log.exception("use_not_known")
                idle = []
            for name in idle:
                del self._busy[name]
            for name in self.waiting if idle else ():
                wake(name)
            await asyncio.sleep(_USAGE_POLL_SECONDS)

    async def admit(self, plan: DeploymentPlan, observed: ObservedDeployment, now: datetime) -> DeploymentPlan:
        """The plan, or what to do instead of making its pod now. Raises ClusterError."""
        created = next((action for action in plan.actions if isinstance(action, CreatePod)), None)
        deployment = observed.deployment
        budget = self._budget.get(deployment.spec.device)
        needed = await self._estimate(deployment.spec) if created and budget is not None else None
        if created is None or budget is None or needed is None:
            self.forget(deployment.name)
            return plan
        async with self._deciding:
            return await self._decided(plan, created, deployment, needed, budget, now)

    async def _decided(
        self,
        plan: DeploymentPlan,
        created: CreatePod,
        deployment: ModelDeployment,
        needed: MemoryEstimate,
        budget: int,
        now: datetime,
    ) -> DeploymentPlan:
        queued = self._waiting.setdefault(deployment.name, _Waiting(now, {}))
        self._somebody_waits.set()
        device = deployment.spec.device
        living = await self._deployments()
        occupants = await self._occupants(living, deployment, created.manifest["metadata"]["name"], now)
        choice = needed.choices[first_that_fits(budget, occupants, [each.bytes for each in needed.choices])]
        demand = Demand(deployment.name, choice.bytes)
        verdict = self._in_turn(
            decide(budget, occupants, demand, patient=now - queued.since < self._patience), demand.name, living, device
        )
        match verdict:
            case Start():
                self.forget(demand.name)
                sized = with_context(created.manifest, choice, needed.trained_context_size)
                return self._start(plan, created, sized, deployment.spec.device, demand, now)
            case TooLarge(reason):
                self.forget(demand.name)
                return blocked(plan, deployment, _memory_insufficient(reason), now)
            case Evict(names):
                _log.info("making_room", deployment=demand.name, bytes=demand.bytes, evicted=names)
                for name in names:
                    await self._eviction.evict(living[name])
                message = f"{', '.join(names)} gives its memory back"
                return waiting_for_memory(plan, deployment, message, now + _LOOK_AGAIN, now)
            case Wait(reason, close):
                self._close(queued, {name: living[name] for name in close})
                return waiting_for_memory(plan, deployment, reason, now + _LOOK_AGAIN, now)

    def _in_turn(self, verdict: Verdict, name: str, living: Mapping[str, ModelDeployment], device: Device) -> Verdict:
        """The verdict; or to wait, where a deployment that came earlier still waits for the same memory."""
        for gone in [other for other in self._waiting if other not in living]:
            self.forget(gone)
        first = next((other for other in self._waiting if living[other].spec.device is device), name)
        if first == name or isinstance(verdict, TooLarge):
            return verdict
        return Wait(f"{living[first].spec.model} waits for memory before it")

    def _start(
        self, plan: DeploymentPlan, created: CreatePod, manifest: Object, device: Device, demand: Demand, now: datetime
    ) -> DeploymentPlan:
        occupant = Occupant(demand.name, demand.bytes, Occupancy.STARTING, now, now)
        self._reserved[manifest["metadata"]["name"]] = (now + _RESERVED_FOR, device, occupant)
        return replace(plan, actions=[CreatePod(manifest) if action is created else action for action in plan.actions])

    async def _deployments(self) -> dict[str, ModelDeployment]:
        listed = await self._cluster.list(MODEL_DEPLOYMENTS)
        return {deployment.name: deployment for deployment in self._reader.read_all(listed.items)}

    async def _occupants(
        self, living: Mapping[str, ModelDeployment], asking: ModelDeployment, own_pod: str, now: datetime
    ) -> list[Occupant]:
        """What has memory of this device: each pod that has not ended, and what is reserved for other pods.

        The pod that is about to be made does not count.
        """
        device = asking.spec.device
        pods = {pod["metadata"]["name"]: pod for pod in (await self._cluster.list(PODS)).items}
        occupants: list[Occupant] = []
        for name, (until, of_device, occupant) in list(self._reserved.items()):
            if name in pods or name == own_pod or until < now:
                del self._reserved[name]
            elif of_device is device:
                occupants.append(occupant)
        for name, pod in pods.items():
            size = number(annotations_of(pod).get(MEMORY_ANNOTATION))
            if size is None or name == own_pod or has_ended(pod):
                continue
            owner = living.get(labels_of(pod).get(LABEL_DEPLOYMENT, ""))
            # The deployment's own pod of an earlier attempt makes room for the next one.
            leaving = is_deleting(pod) or (owner is not None and (owner.deleting or owner.uid == asking.uid))
            if owner is None or owner.spec.device is device:
                occupants.append(self._occupant(pod, owner, size, now, leaving=leaving))
        return occupants

    def _occupant(
        self, pod: Object, owner: ModelDeployment | None, size: int, now: datetime, *, leaving: bool
    ) -> Occupant:
        if leaving:
            return Occupant(pod["metadata"]["name"], size, Occupancy.LEAVING, now, now)
        if owner is None:  # its deployment cannot be read: nobody will evict it
            return Occupant(pod["metadata"]["name"], size, Occupancy.STARTING, now, now)
        usage = self._eviction.usage(owner)
        if usage.in_flight:
            self._busy[owner.name] = owner
        started = owner.status.phase in (Phase.READY, Phase.UNRESPONSIVE)
        occupancy = Occupancy.STARTING if not started else Occupancy.BUSY if usage.in_flight else Occupancy.IDLE
        since = owner.status.loaded_at or owner.created_at
        last_used = max(moment for moment in (usage.last_used, last_activity(owner), since) if moment)
        return Occupant(owner.name, size, occupancy, last_used, since, pinned=owner.spec.idle.ttl_seconds == 0)

    def _close(self, waiting_one: _Waiting, wanted: dict[str, ModelDeployment]) -> None:
        """Closes these deployments, and only these, for the sake of the one that waits."""
        for name, deployment in list(waiting_one.closed.items()):
            if name not in wanted:
                del waiting_one.closed[name]
                if not any(name in other.closed for other in self._waiting.values()):
                    self._eviction.unmark_evicting(deployment)
        for name, deployment in wanted.items():
            if name not in waiting_one.closed:
                waiting_one.closed[name] = deployment
                self._eviction.mark_evicting(deployment)


def with_context(manifest: Object, choice: ContextChoice, trained: int | None) -> Object:
    """The pod with this context, and with notes of that and of what it takes."""
    notes = {
        MEMORY_ANNOTATION: choice.bytes,
        CONTEXT_ANNOTATION: choice.context_size,
        TRAINED_CONTEXT_ANNOTATION: trained,
    }
    metadata: Object = manifest["metadata"]
    annotations = {
        **metadata.get("annotations", {}),
        **{name: str(value) for name, value in notes.items() if value is not None},
    }
    spec: Object = manifest["spec"]
    if choice.context_size is not None:
        [engine, *others] = spec["containers"]
        spec = {
            **spec,
            "containers": [{**engine, "args": with_context_size(engine["args"], choice.context_size)}, *others],
        }
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _memory_insufficient(reason: str) -> Cause:
    """The model can never have the memory that it needs."""
    return Cause("MemoryInsufficient", f"{reason}; a smaller quantization or context_size needs less", ended=False)
