"""Parts of a Kubernetes object that may be absent: what is not there is empty."""

from datetime import datetime
from typing import Any

from berth_cluster.cluster import Object


def status_of(item: Object) -> dict[str, Any]:
    """Its status."""
    return item.get("status") or {}


def labels_of(item: Object) -> dict[str, str]:
    """Its labels."""
    return item["metadata"].get("labels") or {}


def annotations_of(item: Object) -> dict[str, str]:
    """Its annotations."""
    return item["metadata"].get("annotations") or {}


def owned_by(item: Object, uid: str) -> bool:
    """Whether the object with this uid is among its owners."""
    owners: list[dict[str, Any]] = item["metadata"].get("ownerReferences") or []
    return any(owner.get("uid") == uid for owner in owners)


def is_deleting(item: Object) -> bool:
    """Whether somebody has deleted it, and something has still to end."""
    return "deletionTimestamp" in item["metadata"]


def gone_by(item: Object) -> datetime | None:
    """When its grace is over, of one that somebody has deleted; None where nobody has."""
    moment: str | None = item["metadata"].get("deletionTimestamp")
    return datetime.fromisoformat(moment) if moment else None


def condition(item: Object, kind: str) -> dict[str, Any] | None:
    """Its condition of this type, True or not; None where it has none."""
    conditions: list[dict[str, Any]] = status_of(item).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and "status" in each), None)


def holds(item: Object, kind: str) -> bool:
    """Whether its condition of this type is True."""
    found = condition(item, kind)
    return found is not None and found["status"] == "True"


def changed_at(found: dict[str, Any]) -> datetime | None:
    """When a condition last changed; None where it does not say."""
    moment: str | None = found.get("lastTransitionTime")
    return datetime.fromisoformat(moment) if moment else None


def container_statuses(pod: Object) -> list[dict[str, Any]]:
    """What the node says of the pod's containers."""
    return status_of(pod).get("containerStatuses") or []


def state_of(container: dict[str, Any]) -> dict[str, Any]:
    """The state in a container's status: running, waiting or terminated."""
    return container.get("state") or {}


def ports_of(pod: Object, container: str) -> list[int]:
    """The numbers of the ports that the container of this name declares."""
    containers: list[dict[str, Any]] = pod["spec"].get("containers") or []
    found = [each for each in containers if each.get("name") == container]
    ports: list[dict[str, Any]] = (found[0].get("ports") or []) if found else []
    return [port["containerPort"] for port in ports]


def number(text: str | None) -> int | None:
    """A number that was written into a label or an annotation; None where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() else None
