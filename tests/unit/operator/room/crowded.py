"""A node with few devices, the operator that makes room on it, and real routers with clients, in virtual time.

What must always hold is read from what happened: no more engines than devices, and no request in hand when its engine
is put out.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from berth_api.model_deployment import Backend, Device, ModelDeployment
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    NODES,
    PODS,
    Cluster,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_operator.deployments.reconciler import DeploymentReconciler, Room
from berth_operator.deployments.view import DeploymentView
from berth_operator.room.node_watch import NodeWatch
from berth_operator.room.places import NodePlaces
from berth_operator.settings import OperatorSettings
from berth_router.lifecycle.activator import Activator
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import Leases
from berth_router.lifecycle.resolve import Policy
from berth_router.metrics import Metrics
from berth_router.request.ask import Ask
from berth_router.stats import Stats
from berth_router.store.model_store import ModelLookup
from tests.unit.operator.world import Operator, World
from tests.unit.virtual_time import wall_clock

GPU = "nvidia.com/gpu"
SETTINGS = OperatorSettings.model_validate({"engines": {"llamacpp": {"cuda": {"image": "berth/llamacpp-cuda:1"}}}})
RULES = RoomSettings(min_residency=timedelta(seconds=2), max_residency=timedelta(seconds=30))
FULL = f"0/1 nodes are available: 1 Insufficient {GPU}."

_POLICY = Policy({Backend.LLAMACPP: [Device.CUDA]}, Backend.LLAMACPP, Device.CUDA, default_ttl=300, max_deployments=9)


class _EveryModel:
    async def lookup(self, model: str) -> ModelLookup:
        return ModelLookup(exists=True)


_MODELS: Any = _EveryModel()


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was answered, in seconds of the loop's clock."""

    model: str
    engine: str
    asked: float
    begun: float
    ended: float


class Frontend:
    """The parts of a router that wait for an engine and keep it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.deployments = Deployments(cluster, wall_clock)
        self.leases = Leases(cluster, self.deployments, name, wall_clock)
        self.activator = Activator(
            deployments=self.deployments,
            leases=self.leases,
            creator=Creator(cluster, self.deployments, _MODELS, _POLICY),
            metrics=Metrics(),
            stats=Stats(cluster, None, name, wall_clock),
            deadline_seconds=3600,
            clock=wall_clock,
        )


class CrowdedWorld(World):
    """Use as an async context, on a loop of virtual time. `sees_nodes`: whether the operator may look at the node."""

    def __init__(self, devices: int = 1, rules: RoomSettings = RULES, *, sees_nodes: bool = False) -> None:
        super().__init__(self._operator, MODEL_DEPLOYMENTS)
        self.rules = rules
        self.sees_nodes = sees_nodes
        self._devices = devices
        self._placed: set[str] = set()
        self.most_placed = 0
        self.answers: list[Answer] = []
        self.progress: list[str] = []
        """What streams were told while they waited."""
        self._frontends: list[Frontend] = []

    async def __aenter__(self) -> "CrowdedWorld":
        if self.sees_nodes:
            await self.cluster.create(NODES, node("node1", self._devices))
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {GPU: str(self._devices)}}
            await self.cluster.patch_status(NODES, "node1", ready)
        await super().__aenter__()
        for name in ("router-1", "router-2"):
            frontend = Frontend(self.cluster, name)
            self._frontends.append(frontend)
            self._tasks.append(asyncio.create_task(frontend.deployments.run()))
        return self

    async def request(self, model: str, seconds: float = 1, ttl: int | None = None, router: int = 0) -> Answer:
        """A request whose answer takes so long, once it is with an engine."""
        clock, frontend = asyncio.get_running_loop().time, self._frontends[router]
        asked = clock()
        ask = Ask(model, backend=Backend.LLAMACPP, device=Device.CUDA, ttl=ttl)
        claim = await frontend.activator.activate(ask, frontend.activator.deadline(), self._hears)
        begun = clock()
        try:
            await asyncio.sleep(seconds)
        finally:
            frontend.activator.release(claim)
            answer = Answer(model, claim.deployment.status.pod_name or "", asked, begun, clock())
            self.answers.append(answer)
        return answer

    async def _hears(self, progress: str) -> None:
        self.progress.append(progress)

    async def of_model(self, model: str) -> ModelDeployment | None:
        """The model's deployment as it is stored; None where there is none."""
        found = [ModelDeployment.parse(item) for item in (await self.cluster.list(MODEL_DEPLOYMENTS)).items]
        return next((each for each in found if each.spec.model == model), None)

    async def until_model(
        self, model: str, holds: Callable[[ModelDeployment | None], object]
    ) -> ModelDeployment | None:
        """The model's deployment, as soon as this holds of it."""
        async with asyncio.timeout(600):
            while not holds(found := await self.of_model(model)):
                self.changed.clear()
                await self.changed.wait()
            return found

    async def declare(self, model: str, **spec: Any) -> None:
        """A person declares a deployment."""
        identity = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
        name = model.rpartition("/")[2]
        body = {"model": model, "backend": "llamacpp", "device": "cuda", **spec}
        await self.cluster.create(MODEL_DEPLOYMENTS, {**identity, "metadata": {"name": name}, "spec": body})

    def check_room(self) -> None:
        """Raises AssertionError where an engine was put out under a request, or there were more than devices."""
        assert self.most_placed <= self._devices
        for change in self.history:
            if change.what == PODS.plural and change.by_operator and "deletionTimestamp" in change.object["metadata"]:
                name = change.object["metadata"]["name"]
                cut = [each for each in self.answers if each.engine == name and each.begun < change.at < each.ended]
                assert not cut, f"{name} was put out at {change.at}: {cut}"

    def _operator(self, cluster: Cluster, _: World) -> Operator:
        view = DeploymentView(cluster)
        nodes = NodeWatch(self.cluster, "") if self.sees_nodes else None
        reconciler = DeploymentReconciler(view, self, SETTINGS, wall_clock, Room(nodes or NodePlaces(), self.rules))
        return Operator([view.run(), *([nodes.run()] if nodes else [])], reconciler.close)

    async def _run(self, pod: Object, address: str) -> None:
        """The scheduler waits for a free device, and says so."""
        name = pod["metadata"]["name"]
        own = Preconditions(pod["metadata"]["uid"])
        with suppress(NotFoundError):
            if len(self._placed) >= self._devices:
                refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL}
                moment = {"lastTransitionTime": wall_clock().isoformat()}
                await self.cluster.patch_status(PODS, name, {"conditions": [{**refused, **moment}]}, own)
            while len(self._placed) >= self._devices:
                self.changed.clear()
                await self.changed.wait()
            self._placed.add(own.uid)
            self.most_placed = max(self.most_placed, len(self._placed))
            try:
                await self.cluster.patch_status(PODS, name, {"conditions": []}, own)
                await super()._run(pod, address)
            except NotFoundError:
                self._placed.discard(own.uid)
                raise

    async def _end(self, pod: Object) -> None:
        await super()._end(pod)
        self._placed.discard(pod["metadata"]["uid"])
        self.changed.set()


def node(name: str, devices: int) -> Object:
    """A node with so many devices."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}


@asynccontextmanager
async def asking(world: CrowdedWorld, model: str, **how: Any) -> AsyncGenerator["asyncio.Task[Answer]"]:
    """A request under way, which is given up at the end if it is not answered."""
    task = asyncio.create_task(world.request(model, **how))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def moment(seconds: float) -> datetime:
    """The time of day at that time of the loop's clock."""
    return wall_clock() + timedelta(seconds=seconds - asyncio.get_running_loop().time())
