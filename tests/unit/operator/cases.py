"""The form of the operator's tables: one state of the world, and what must follow."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import Object
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.health import ProbeHistory
from berth_operator.deployments.plan import make_plan
from berth_operator.reconciling.writer import DeleteResource, WriteStatus
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, SETTINGS, UID


@dataclass
class Case:
    """One state of the world, and what must follow."""

    name: str
    deployment: ModelDeployment
    pods: list[Object]
    actions: list[str]
    phase: str | None
    probes: ProbeHistory | None = None
    attempt: int = 1
    wake_in: float | None = None
    reason: str | None = None
    """Of the condition Ready, where the case is about it."""
    settings: OperatorSettings = field(default_factory=lambda: SETTINGS)

    def plan(self) -> DeploymentPlan:
        return plan_for(self.deployment, *self.pods, probes=self.probes, settings=self.settings)

    def check(self) -> None:
        plan = self.plan()
        assert actions(plan) == self.actions
        if "delete deployment" not in self.actions:
            assert plan.status.phase == self.phase
        assert plan.status.attempt == self.attempt
        assert (None if plan.wake_at is None else plan.wake_at - NOW) == (
            None if self.wake_in is None else timedelta(seconds=self.wake_in)
        )
        if self.reason:
            ready = condition_of(plan.status.conditions, ConditionType.READY)
            assert ready
            assert ready.reason == self.reason


def plan_for(
    observed: ModelDeployment,
    *pods: Object,
    probes: ProbeHistory | None = None,
    now: datetime = NOW,
    settings: OperatorSettings = SETTINGS,
) -> DeploymentPlan:
    return make_plan(ObservedDeployment(observed, list(pods), probes), settings, now)


def actions(plan: DeploymentPlan) -> list[str]:
    """The plan's actions in short, as the tables state them: pods without their uid, and with the grace they have."""
    names: list[str] = []
    for action in plan.actions:
        match action:
            case CreatePod(manifest):
                names.append(f"create {_short(manifest['metadata']['name'])}")
            case DeletePod(name, _, grace):
                names.append(f"delete {_short(name)}{'' if grace is None else f' in {grace} s'}")
            case WriteStatus():
                names.append("status")
            case DeleteResource():
                names.append("delete deployment")
    return names


def _short(name: str) -> str:
    return name.replace(f"-{UID[:8]}", "")
