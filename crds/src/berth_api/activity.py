"""When a deployment is idle, as a pure function that the operator and the routers share.

A router keeps a deployment by writing a lease, `keepUntil`, into its own entry of `status.activity`. The deployment expires
when the TTL since it became ready and every lease have run out. Leases only ever grow, so an expiry that a router has read is
a bound it can trust, unless somebody unloads the model: then it is idle from that moment until the next request.
"""

from datetime import UTC, datetime, timedelta

from berth_api.model_deployment import ModelDeployment

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""A lease without an end, for a request with a TTL of 0."""


def expires_at(deployment: ModelDeployment) -> datetime | None:
    """When the deployment becomes idle. None: never, or not yet known since it has not been ready."""
    ttl = deployment.spec.idle.ttl_seconds
    loaded_at = deployment.status.loaded_at
    if loaded_at is None:
        return None
    unload_at = max((entry.unload_at for entry in deployment.status.activity.values() if entry.unload_at), default=None)
    if unload_at and unload_at >= max(loaded_at, last_activity(deployment) or loaded_at):
        return unload_at
    if ttl == 0:
        return None
    moment = max([loaded_at + timedelta(seconds=ttl), *_leases(deployment)])
    return None if moment >= NEVER else moment


def last_lease_end(deployment: ModelDeployment) -> datetime | None:
    """When the last router's lease runs out; None where no router ever took one."""
    return max(_leases(deployment), default=None)


def last_activity(deployment: ModelDeployment) -> datetime | None:
    """When any router last had a request of the deployment in hand."""
    return max((entry.last_activity for entry in deployment.status.activity.values()), default=None)


def _leases(deployment: ModelDeployment) -> list[datetime]:
    return [entry.keep_until for entry in deployment.status.activity.values()]
