"""What the keeper of room remembers of deployments and pods: little, since there may be thousands. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from berth_api.activity import NEVER, evicted_until, expires_at, last_activity, leased_until
from berth_api.model_deployment import ENGINE_READY, Device, ModelDeployment, Phase
from berth_api.room.snapshot import Amounts, PendingPod, TolerationRule
from berth_cluster.cluster import LABEL_DEPLOYMENT, Object
from berth_operator.objects.parts import condition, is_deleting, labels_of
from berth_operator.objects.pod_failure import pod_failure
from berth_operator.objects.pods import gates_of, has_ended, has_node, unschedulable_since

_STAYS_WANTED = timedelta(seconds=10)
"""How long a model stays wanted after the last client that waited for it has left: most try again within that."""

_SERVES = (Phase.READY, Phase.UNRESPONSIVE)
_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]+)")


@dataclass(frozen=True, slots=True)
class StandingDeployment:
    """A deployment, as far as room goes."""

    name: str
    uid: str
    device: Device
    serves: bool
    """Its engine is ready, or was and does not answer now."""
    pod: str | None
    deleting: bool
    priority: int
    pinned: bool
    endless: bool
    min_residency: timedelta | None
    max_residency: timedelta | None
    since: datetime
    """When its engine became ready; before that, when it was made."""
    last_used: datetime
    leased_until: datetime | None
    closed: bool
    runs_until: datetime | None
    """Until when nobody needs to ask for it: a person has declared it, and it has not been idle for its TTL. So it
    comes back after a change, a drain or a crash. None: it runs for those alone who ask.
    """
    created_at: datetime
    queued_since: datetime | None
    start_seconds: float | None

    @classmethod
    def of(cls, deployment: ModelDeployment, now: datetime, *, declared: bool) -> Self:
        """What counts of a deployment. `declared`: a person has made it."""
        spec, status, idle = deployment.spec, deployment.status, deployment.spec.idle
        serves = status.phase in _SERVES
        since = (status.loaded_at if serves else None) or deployment.created_at
        used = last_activity(deployment)
        closed_until = evicted_until(deployment)
        return cls(
            name=deployment.name,
            uid=deployment.uid,
            device=spec.device,
            serves=serves,
            pod=status.pod_name,
            deleting=deployment.deleting,
            priority=spec.priority or 0,
            pinned=bool(idle.pinned),
            endless=serves and (expires_at(deployment) or NEVER) >= NEVER,
            min_residency=_seconds(idle.min_residency_seconds),
            max_residency=_seconds(idle.max_residency_seconds),
            since=since,
            last_used=max(since, used) if used else since,
            leased_until=leased_until(deployment),
            closed=closed_until is not None and closed_until > now,
            runs_until=(expires_at(deployment) or NEVER) if declared else None,
            created_at=deployment.created_at,
            queued_since=status.queue.since if status.queue else None,
            start_seconds=next((step.seconds for step in status.start_steps if step.name == ENGINE_READY), None),
        )

    def is_busy(self, now: datetime) -> bool:
        """Whether a router may have requests of it in hand."""
        return self.leased_until is not None and self.leased_until > now

    def is_waited_for(self, now: datetime) -> bool:
        """Whether somebody waits for it, or did a moment ago."""
        if (self.runs_until is not None and self.runs_until > now) or self.is_busy(now):
            return True
        return max(self.last_used, self.created_at) + _STAYS_WANTED > now


@dataclass(frozen=True, slots=True)
class StandingPod:
    """A pod of a deployment, as far as room goes."""

    name: str
    uid: str
    deployment: str
    node: str | None
    """None: the scheduler has found none yet."""
    holds: Amounts
    leaving: bool
    ended: bool
    hindered: bool
    """It has a node, and something keeps its engine from running, such as an image that cannot be pulled."""
    pending: PendingPod
    node_selector: dict[str, str]
    tolerations: tuple[TolerationRule, ...]
    created_at: datetime

    @classmethod
    def of(cls, pod: Object, holds: Amounts, now: datetime) -> Self:
        """What counts of a pod. `holds`: what it takes of the place where it stands, or will."""
        metadata, spec = pod["metadata"], pod["spec"]
        created: str | None = metadata.get("creationTimestamp")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            deployment=labels_of(pod).get(LABEL_DEPLOYMENT, ""),
            node=spec.get("nodeName"),
            holds=holds,
            leaving=is_deleting(pod),
            ended=has_ended(pod),
            hindered=has_node(pod) and pod_failure(pod, now, timedelta.max) is not None,
            pending=pending_pod(pod),
            node_selector=spec.get("nodeSelector") or {},
            tolerations=toleration_rules(spec),
            created_at=datetime.fromisoformat(created) if created else now,
        )


def pending_pod(pod: Object, shape: int = 0) -> PendingPod:
    """What the scheduler has said of a pod that has no node.

    One that it may not look at yet is as one that it has refused, and not for want of room: none is kept for it.
    """
    if gates := gates_of(pod):
        return PendingPod(shape, f"its scheduling gates are {', '.join(gates)}")
    if unschedulable_since(pod) is None:
        return PendingPod(shape)
    said = (condition(pod, "PodScheduled") or {}).get("message") or "it finds no node"
    return PendingPod(shape, said, tuple(dict.fromkeys(each.rstrip(".") for each in _INSUFFICIENT.findall(said))))


def toleration_rules(spec: dict[str, Any]) -> tuple[TolerationRule, ...]:
    """The tolerations of a pod's spec."""
    stated: list[dict[str, str]] = spec.get("tolerations") or []
    return tuple(
        TolerationRule(
            key=each.get("key") or "",
            value=each.get("value") or "",
            effect=each.get("effect") or "",
            exists=each.get("operator") == "Exists",
        )
        for each in stated
    )


def _seconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)
