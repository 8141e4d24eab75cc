"""Parts that objects of every kind have. A part that an object lacks is read as empty."""

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
    """Whether somebody has deleted it, and it is still there until something of it has ended."""
    return "deletionTimestamp" in item["metadata"]


def gone_by(item: Object) -> datetime | None:
    """When the grace of a deleted object is over; None where nobody has deleted it."""
    moment: str | None = item["metadata"].get("deletionTimestamp")
    return datetime.fromisoformat(moment) if moment else None


def condition(item: Object, kind: str) -> dict[str, Any] | None:
    """Its condition of this type, True or not; None where it has none."""
    conditions: list[dict[str, Any]] = status_of(item).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and "status" in each), None)


def is_true(item: Object, kind: str) -> bool:
    """Whether its condition of this type is True."""
    found = condition(item, kind)
    return found is not None and found["status"] == "True"


def changed_at(found: dict[str, Any]) -> datetime | None:
    """When a condition last changed; None where it does not say."""
    moment: str | None = found.get("lastTransitionTime")
    return datetime.fromisoformat(moment) if moment else None


def number(text: str | None) -> int | None:
    """The number in a label or an annotation; None where the text is no number."""
    return int(text) if text and text.isascii() and text.isdigit() else None
