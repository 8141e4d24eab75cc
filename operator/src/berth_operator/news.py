"""Which changes of a deployment the reconciler has to look at, and which can wait until it looks anyway."""

import copy

import orjson

from berth_api.cluster import Object
from berth_api.model_deployment import Phase

_LEASE = ("lastActivity", "keepUntil", "inFlight")
"""Of a router's entry: how long it needs the deployment kept, which only grows."""

_FOLLOWS_FROM_LEASES = ("lastActivity", "expiresAt")
"""What the operator itself makes of them for people."""


class News:
    """Remembers what each deployment was last seen like.

    Routers renew their leases with every burst of requests. To one that is ready that means a later expiry and nothing else: the operator
    looks again when the earlier one has come, or at its next resync, instead of reading and writing at every renewal.
    """

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def is_news(self, deployment: Object, *, gone: bool = False) -> bool:
        """Whether a deployment that was seen to be like this, or to be gone, must be looked at now."""
        name: str = deployment["metadata"]["name"]
        if gone:
            self._seen.pop(name, None)
            return True
        before, self._seen[name] = self._seen.get(name), _but_for_leases(deployment)
        status: Object = deployment.get("status") or {}
        return status.get("phase") != Phase.READY or before != self._seen[name]


def _but_for_leases(deployment: Object) -> bytes:
    """All that is said of a deployment, but what a renewed lease changes."""
    rest = copy.deepcopy(deployment)
    for field in ("resourceVersion", "managedFields"):
        rest["metadata"].pop(field, None)
    status: Object = rest.get("status") or {}
    for field in _FOLLOWS_FROM_LEASES:
        status.pop(field, None)
    activity: dict[str, Object] = status.get("activity") or {}
    for entry in activity.values():
        for field in _LEASE:
            entry.pop(field, None)
    return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)
