"""What the planner of a deployment gets and gives: what was observed, what can be done, and a plan of that."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from berth_api.model_deployment import ModelDeployment, ModelDeploymentStatus
from berth_cluster.cluster import Object
from berth_operator.deployments.health import ProbeHistory
from berth_operator.reconciling.writer import DeleteResource, WriteStatus
from berth_operator.resources.made_from import Difference
from berth_operator.room.orders import EvictionOrder


@dataclass(frozen=True, slots=True)
class ObservedDeployment:
    """A deployment as it is now, the pods that it owns, and what its engine has answered."""

    deployment: ModelDeployment
    pods: list[Object]
    probes: ProbeHistory | None
    """What the probes of a pod's engine have found; None where no engine is probed."""
    eviction: EvictionOrder | None = None
    """That it has to make room for another deployment; None where it need not."""
    fault: str | None = None
    """Why no engine could load its model. None: nothing is known against it, or no engine has ended that it would."""


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create this pod."""

    manifest: Object


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete this very pod."""

    name: str
    uid: str
    grace_seconds: int | None = None
    """What its process gets to end. None: what the pod says, so that answers under way are finished."""


DeploymentAction = CreatePod | DeletePod | WriteStatus | DeleteResource


class ProbeTarget(NamedTuple):
    """An engine to probe again and again."""

    pod: str
    """uid of its pod."""
    url: str
    """Answers 200 when, and only when, the engine can serve."""
    models_url: str | None = None
    """Says how much context the engine has. None: the engine does not tell."""
    owner: str = ""
    """uid of its deployment, whose key the engine asks for."""


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What to do, in this order; the status that should be; and when to look again."""

    actions: list[DeploymentAction]
    status: ModelDeploymentStatus
    probe: ProbeTarget | None = None
    """The engine to probe from now on."""

    wake_at: datetime | None = None
    """When to look again if nothing changes; None: after the resync period."""

    forget: list[str] = field(default_factory=list[str])
    """Activity entries to remove with the status."""

    next_attempt: ModelDeployment | None = None
    """The deployment in its next attempt, where the plan ends the present one."""

    replacement: Object | None = None
    """The pod that is to take the place of an engine that serves. Whether there could be one was not asked yet."""

    outdated: Difference | None = None
    """What has changed since the running engine was made."""

    @property
    def takes_away(self) -> bool:
        """Whether it ends an attempt, or deletes anything."""
        ends = self.next_attempt is not None
        return ends or any(isinstance(action, DeletePod | DeleteResource) for action in self.actions)
