"""Whether a deployment is idle, until when it is kept, and why: pure."""

from datetime import datetime, timedelta

from berth_api.activity import NEVER, expires_at, last_promise_end, leased_until
from berth_api.model_deployment import IdleAction, ModelDeployment


def idle_since(deployment: ModelDeployment, now: datetime) -> datetime | None:
    """The moment at which a deployment that has been ready became idle; None while it is not idle."""
    moment = expires_at(deployment)
    return moment if moment is not None and moment <= now else None


def is_asleep(deployment: ModelDeployment, now: datetime) -> bool:
    """Whether the deployment has no pod because nobody uses it:
    it was ready before, is idle, and stays as a resource.
    """
    return deployment.spec.idle.action is IdleAction.SLEEP and idle_since(deployment, now) is not None


def failed_until(deployment: ModelDeployment) -> datetime | None:
    """Until when a deployment that cannot start is kept, with its reason, for those who ask; None where for ever.

    A deployment of a person is never deleted. One that a router made goes when its TTL has passed since it was made and
    since it was last asked for.
    """
    ttl = deployment.spec.idle.ttl_seconds
    if deployment.spec.idle.action is not IdleAction.DELETE or ttl == 0:
        return None
    own = deployment.created_at + timedelta(seconds=ttl)
    moment = max(own, last_promise_end(deployment) or own, leased_until(deployment) or own)
    return None if moment >= NEVER else moment
