"""Which changes of a deployment need a reconciliation now, and which can wait for the next one in any case."""

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from berth_api.model_deployment import Phase
from berth_cluster.cluster import Object

_ENDS = ("keepUntil", "leaseUntil")
"""Fields of a router's entry that say until when the deployment stays."""

_LEASE = ("lastActivity", "inFlight", *_ENDS)
"""Fields of a router's entry that a renewed lease changes."""

_DERIVED_FROM_LEASES = ("lastActivity", "expiresAt")
"""Fields of the status that the operator derives from the entries, for people."""

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _LastSeen:
    """What a deployment looked like in its last change."""

    rest: bytes
    """A digest of all of it but its leases."""
    ends: dict[str, datetime]
    """The ends of leases and promises, by the names of entry and field."""


class ChangeFilter:
    """Remembers what each deployment last looked like, to tell renewed leases from all other changes.

    Routers renew their leases with every burst of requests. For a ready deployment that only makes the expiry later:
    the operator looks again at the earlier expiry, or at its next resync, and does not read and write at each renewal.
    A lease that is released makes the expiry earlier, and must be reconciled.
    """

    def __init__(self) -> None:
        self._last_seen: dict[str, _LastSeen] = {}

    def must_reconcile(self, deployment: Object, *, gone: bool = False) -> bool:
        """Whether a deployment that was seen like this, or was seen to be gone, must be reconciled now."""
        name: str = deployment["metadata"]["name"]
        if gone:
            self._last_seen.pop(name, None)
            return True
        before, now = self._last_seen.get(name), _last_seen(deployment)
        self._last_seen[name] = now
        status: Object = deployment.get("status") or {}
        if before is None or status.get("phase") != Phase.READY or before.rest != now.rest:
            return True
        return any(now.ends.get(key, _NEVER) < end for key, end in before.ends.items())


def _last_seen(deployment: Object) -> _LastSeen:
    rest = copy.deepcopy(deployment)
    for field in ("resourceVersion", "managedFields"):
        rest["metadata"].pop(field, None)
    status: Object = rest.get("status") or {}
    for field in _DERIVED_FROM_LEASES:
        status.pop(field, None)
    ends: dict[str, datetime] = {}
    activity: dict[str, Any] = status.get("activity") or {}
    for name, entry in activity.items():
        if isinstance(entry, dict):  # an entry of another form is reported when the deployment is read
            lease: dict[str, Any] = {field: entry.pop(field, None) for field in _LEASE}  # pyright: ignore[reportUnknownMemberType]
            ends |= {f"{name} {field}": end for field in _ENDS if (end := _moment(lease[field]))}
    return _LastSeen(blake2b(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS), digest_size=16).digest(), ends)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
