"""A machine with 8 GB for models: the keeper of room and the admission, whose plans are carried out as they say."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    PODS,
    ROUTER,
    NotFoundError,
    Object,
)
from berth_local.node.admission import SCHEMAS, Admit
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.admission import RoomAdmission
from berth_operator.deployments.health import ProbeHistory
from berth_operator.deployments.plan import make_plan
from berth_operator.objects.parts import labels_of, owned_by
from berth_operator.reconciling.writer import DeleteResource, WriteStatus, status_patch
from berth_operator.room.estimates import ContextChoice, MemoryEstimate
from berth_operator.room.keeper import RoomKeeper
from berth_operator.room.places import MachinePlaces, Places
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.operator.building import NOW, SETTINGS, at

GB = 1_000_000_000
SIZES: dict[str, int | None] = {
    "/models/tiny": GB // 2,
    "/models/small": 2 * GB,
    "/models/medium": 4 * GB,
    "/models/large": 7 * GB,
    "/models/huge": 9 * GB,
    "/models/strange": None,
}
RULES = RoomSettings(max_residency=timedelta(minutes=10), patience=timedelta(seconds=5))
IDLE = {"action": "Delete", "ttlSeconds": 3600}


class House:
    """A cluster in memory, what the operator knows of room in it, and a clock that the test sets."""

    def __init__(
        self,
        rules: RoomSettings = RULES,
        admission: Mapping[str, Admit] = SCHEMAS,
        places: Places | None = None,
    ) -> None:
        self.now = NOW
        self.woken: list[str] = []
        self.cluster = MemoryCluster(admission, self.clock)
        places = places or MachinePlaces(8 * GB)
        self.keeper = RoomKeeper(places, rules, self.clock, self.woken.append)
        self._admission = RoomAdmission(self.keeper, places, self._estimate)
        self._seen: dict[str, set[str]] = {"deployments": set(), "pods": set()}

    def clock(self) -> datetime:
        return self.now

    async def _estimate(self, spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        if spec.model == "/models/elastic":
            choices = [ContextChoice(size * GB, tokens) for size, tokens in ((7, 8192), (4, 4096), (2, 2048))]
            return MemoryEstimate(tuple(choices), 8192)
        size = SIZES[spec.model]
        return None if size is None else MemoryEstimate((ContextChoice(size),))

    async def declare(self, name: str, model: str, *, by_router: bool = True, **spec: Any) -> None:
        """A router, or a person, makes a deployment."""
        labels = {LABEL_MANAGED_BY: ROUTER} if by_router else {}
        body = {"model": f"/models/{model}", "backend": "llamacpp", "device": "cpu", "idle": IDLE, **spec}
        await self.cluster.create(
            MODEL_DEPLOYMENTS,
            {
                "apiVersion": MODEL_DEPLOYMENTS.api_version,
                "kind": MODEL_DEPLOYMENTS.kind,
                "metadata": {"name": name, "labels": labels},
                "spec": body,
            },
        )

    async def see(self) -> None:
        """The watched view shows what there is."""
        deployments = (await self.cluster.list(MODEL_DEPLOYMENTS)).items
        pods = (await self.cluster.list(PODS)).items
        names = {item["metadata"]["name"] for item in deployments}
        for gone in self._seen["deployments"] - names:
            self.keeper.lose_deployment(gone)
        for item in deployments:
            try:
                self.keeper.see_deployment(ModelDeployment.parse(item), declared=not _made_by_router(item))
            except ValueError:
                self.keeper.lose_deployment(item["metadata"]["name"])
        pod_names = {pod["metadata"]["name"] for pod in pods}
        for gone in self._seen["pods"] - pod_names:
            self.keeper.lose_pod(gone)
        for pod in pods:
            self.keeper.see_pod(pod)
        self._seen = {"deployments": names, "pods": pod_names}

    async def plan(self, name: str, after: float | None = None, probes: ProbeHistory | None = None) -> DeploymentPlan:
        """What is to be done about the deployment, so many seconds from NOW."""
        if after is not None:
            self.now = NOW + timedelta(seconds=after)
        await self.see()
        read = ModelDeployment.parse(await self.cluster.get(MODEL_DEPLOYMENTS, name))
        pods = [pod for pod in (await self.cluster.list(PODS)).items if owned_by(pod, read.uid)]
        observed = ObservedDeployment(read, pods, probes, self.keeper.order(name))
        return await self._admission.admit(make_plan(observed, SETTINGS, self.now), observed, self.now)

    async def round(self, name: str, after: float | None = None, probes: ProbeHistory | None = None) -> DeploymentPlan:
        """The same, and it is done."""
        plan = await self.plan(name, after, probes)
        read = ModelDeployment.parse(await self.cluster.get(MODEL_DEPLOYMENTS, name))
        for action in plan.actions:
            match action:
                case CreatePod(manifest):
                    await self.cluster.create(PODS, manifest)
                case DeletePod(pod):
                    with suppress(NotFoundError):
                        await self.cluster.delete(PODS, pod)
                case WriteStatus():
                    await self.cluster.patch_status(
                        MODEL_DEPLOYMENTS, name, status_patch(read.status, plan.status, plan.forget)
                    )
                case DeleteResource():
                    await self.cluster.delete(MODEL_DEPLOYMENTS, name)
        await self.see()
        return plan

    async def start(self, name: str, model: str, ready_at: float = -600, *, busy: bool = False, **spec: Any) -> None:
        """A model that became ready so many seconds from NOW."""
        await self.declare(name, model, **spec)
        assert created(await self.round(name))
        steps = [
            {"name": step, "at": at(ready_at), "seconds": 1}
            for step in ("PodCreated", "PodScheduled", "EngineStarted", "EngineReady")
        ]
        status = {"phase": "Ready", "loadedAt": at(ready_at), "startSteps": steps}
        await self.cluster.patch_status(MODEL_DEPLOYMENTS, name, status)
        pod: Object = {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "containerStatuses": [{"name": "engine", "state": {"running": {}}}],
        }
        await self.cluster.patch_status(PODS, await self.pod_of(name), pod)
        if busy:
            await self.use(name)
        await self.round(name)

    async def use(self, name: str, *, until: float | None = 10_000) -> None:
        """A router has requests of it in hand; without `until`, none any more."""
        lease = {"leaseUntil": None, "inFlight": 0} if until is None else {"leaseUntil": at(until), "inFlight": 1}
        entry = {"lastActivity": self.now.isoformat(), "keepUntil": at(3600), **lease}
        await self.cluster.patch_status(MODEL_DEPLOYMENTS, name, {"activity": {"router": entry}})
        await self.see()

    async def take_away(self, name: str) -> None:
        """Somebody deletes the deployment."""
        await self.cluster.delete(MODEL_DEPLOYMENTS, name)
        await self.see()

    async def pod_of(self, name: str) -> str:
        """The name of the deployment's pod."""
        return (await self.pod(name))["metadata"]["name"]

    async def pod(self, name: str) -> Object:
        """The deployment's pod."""
        return (await self.cluster.list(PODS, {LABEL_DEPLOYMENT: name})).items[0]

    async def status(self, name: str) -> Object:
        """The deployment's status as it is stored."""
        return (await self.cluster.get(MODEL_DEPLOYMENTS, name)).get("status") or {}

    async def names(self) -> set[str]:
        return {item["metadata"]["name"] for item in (await self.cluster.list(MODEL_DEPLOYMENTS)).items}


def created(plan: DeploymentPlan) -> Object | None:
    """The pod that the plan makes."""
    return next((action.manifest for action in plan.actions if isinstance(action, CreatePod)), None)


def stated(plan: DeploymentPlan, kind: ConditionType = ConditionType.READY) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    condition = condition_of(plan.status.conditions, kind)
    assert condition
    return condition.status, condition.reason, condition.message


def _made_by_router(item: Object) -> bool:
    return labels_of(item).get(LABEL_MANAGED_BY) == ROUTER
