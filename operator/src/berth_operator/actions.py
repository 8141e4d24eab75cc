"""What is observed of a deployment, what can be done about it, and a plan of that."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from berth_api.model_deployment import ModelDeployment, ModelDeploymentStatus
from berth_cluster.cluster import Object, Preconditions
from berth_operator.deployments.health import Sight
from berth_operator.deployments.made_from import Difference


@dataclass(frozen=True, slots=True)
class Observed:
    """What is so: the deployment, the pods it owns, and what its engine answers."""

    deployment: ModelDeployment
    pods: list[Object]
    sight: Sight | None
    """What is known of a pod's engine from asking it; None where none was asked."""


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
    """What its process has to end in. None: what the pod says, so that the answers under way are made to their end."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the plan's status, if the deployment is still as it was read: somebody may just have asked for it."""


@dataclass(frozen=True, slots=True)
class DeleteDeployment:
    """Delete the deployment, if it is still as it was read."""

    preconditions: Preconditions


Action = CreatePod | DeletePod | WriteStatus | DeleteDeployment


class Engine(NamedTuple):
    """An engine that is to be asked whether it answers, again and again."""

    pod: str
    """uid of its pod."""
    url: str
    """Answers 200 when, and only when, the engine can serve."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; the status that should be; what to find out; and when to look again."""

    actions: list[Action]
    status: ModelDeploymentStatus
    engine: Engine | None = None
    """Whom to ask."""

    wake_at: datetime | None = None
    """When to look again though nothing has been heard; None: not before something is."""

    forget: list[str] = field(default_factory=list[str])
    """Activity entries to remove with the status."""

    about: ModelDeployment | None = None
    """The deployment in its next attempt, where the plan leaves the present one."""

    outdated: Difference | None = None
    """What has changed since the engine that runs was made."""
