"""Whether a deployment is idle, and until when one that cannot start is kept: pure."""

from datetime import datetime, timedelta

from berth_api.activity import NEVER, expires_at, last_promise_end, leased_until
from berth_api.model_deployment import IdleAction, ModelDeployment


def idle_since(deployment: ModelDeployment, now: datetime) -> datetime | None:
    """When a deployment that has been ready became idle; None while it is not idle."""
    moment = expires_at(deployment)
    return moment if moment is not None and moment <= now else None


def is_asleep(deployment: ModelDeployment, now: datetime) -> bool:
    """Whether the deployment needs no pod now, and stays as a resource: it is idle, or nobody has asked for it yet."""
    idle = deployment.spec.idle
    if idle.action is not IdleAction.SLEEP:
        return False
    if idle.start_asleep and deployment.status.loaded_at is None:
        return not _is_asked(deployment, now)
    return idle_since(deployment, now) is not None


def _is_asked(deployment: ModelDeployment, now: datetime) -> bool:
    """Whether a request waits for the deployment, or has not waited long enough ago for its TTL to be over."""
    ends = (leased_until(deployment), last_promise_end(deployment))
    return any(end is not None and end > now for end in ends)


def failed_until(deployment: ModelDeployment) -> datetime | None:
    """Until when a deployment that cannot start is kept, so that callers get the reason; None: for ever.

    A deployment that a person made is never deleted. One that a router made is deleted when its TTL has passed since it
    was made and since its last request.
    """
    ttl = deployment.spec.idle.ttl_seconds
    if deployment.spec.idle.action is not IdleAction.DELETE or ttl == 0:
        return None
    own = deployment.created_at + timedelta(seconds=ttl)
    moment = max(own, last_promise_end(deployment) or own, leased_until(deployment) or own)
    return None if moment >= NEVER else moment


def is_retried(deployment: ModelDeployment, now: datetime) -> bool:
    """Whether a deployment that could not start is tried again when its wait is over.

    One that a person made always is. One that a router made is if somebody asks for it: otherwise it would load a model
    again and again that nobody waits for.
    """
    leased = leased_until(deployment)
    return deployment.spec.idle.action is not IdleAction.DELETE or (leased is not None and leased > now)
