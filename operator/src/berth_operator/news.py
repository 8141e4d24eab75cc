"""Which changes of a deployment the reconciler has to look at, and which can wait until it looks anyway."""

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from berth_api.model_deployment import Phase
from berth_cluster.cluster import Object

_ENDS = ("keepUntil", "leaseUntil")
"""Of a router's entry: until when it needs the deployment kept."""

_LEASE = ("lastActivity", "inFlight", *_ENDS)
"""Of a router's entry: what a renewed lease changes."""

_FOLLOWS_FROM_LEASES = ("lastActivity", "expiresAt")
"""What the operator itself makes of them for people."""

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a deployment was seen to be like."""

    rest: bytes
    """All that is said of it, but its leases."""
    ends: dict[str, datetime]
    """Until when each entry needs it kept, by the entry's name and the field's."""


class News:
    """Remembers what each deployment was last seen like.

    Routers renew their leases with every burst of requests. To one that is ready that means a later expiry and nothing
    else: the operator looks again when the earlier one has come, or at its next resync, instead of reading and writing
    at every renewal. A lease that is given back means an earlier one, and that is news.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Look] = {}

    def is_news(self, deployment: Object, *, gone: bool = False) -> bool:
        """Whether a deployment that was seen to be like this, or to be gone, must be looked at now. Raises nothing."""
        name: str = deployment["metadata"]["name"]
        if gone:
            self._seen.pop(name, None)
            return True
        before, now = self._seen.get(name), _look(deployment)
        self._seen[name] = now
        status: Object = deployment.get("status") or {}
        if before is None or status.get("phase") != Phase.READY or before.rest != now.rest:
            return True
        return any(now.ends.get(key, _NEVER) < end for key, end in before.ends.items())


def _look(deployment: Object) -> _Look:
    rest = copy.deepcopy(deployment)
    for field in ("resourceVersion", "managedFields"):
        rest["metadata"].pop(field, None)
    status: Object = rest.get("status") or {}
    for field in _FOLLOWS_FROM_LEASES:
        status.pop(field, None)
    ends: dict[str, datetime] = {}
    activity: dict[str, Any] = status.get("activity") or {}
    for name, entry in activity.items():
        if isinstance(entry, dict):  # an entry of another form is told of when the deployment is read
            lease: dict[str, Any] = {field: entry.pop(field, None) for field in _LEASE}  # pyright: ignore[reportUnknownMemberType]
            ends |= {f"{name} {field}": end for field in _ENDS if (end := _moment(lease[field]))}
    return _Look(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS), ends)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
