"""How a deployment makes room for another one: pure.

While a router has a lease of it, the operator writes into its status that its room is wanted: then each router that has
no request in hand gives its lease back at once. If it has to leave all the same, the operator closes it: from then on
no router takes a new request on. When there is no lease, nobody uses the engine, and it goes. Each of these writes, and
the deletion, is to the version that was read. So a router that was quicker makes it fail, and the operator looks again.

An operator that ends in between leaves a mark that runs out by itself; the next one decides anew.
"""

from datetime import datetime, timedelta

from berth_api.model_deployment import Eviction
from berth_operator.room.orders import EvictionOrder

_CLOSED = timedelta(seconds=60)
"""How long a deployment stays closed if its operator ends. While that runs, it renews this at half time."""


def eviction_status(stored: Eviction | None, ordered: EvictionOrder | None, now: datetime) -> Eviction | None:
    """What the status says of the eviction that is ordered. Between two renewals it stays the same."""
    if ordered is None:
        return None
    closed_until = stored.closed_until if stored else None
    if ordered.close and (closed_until is None or closed_until <= now + _CLOSED / 2):
        closed_until = now + _CLOSED
    return Eviction(
        wanted_by=ordered.wanted_by,
        since=stored.since if stored else now,
        closed_until=closed_until if ordered.close else None,
    )


def renewed_at(eviction: Eviction | None) -> datetime | None:
    """When the end of the mark is renewed; None where there is none."""
    return eviction.closed_until - _CLOSED / 2 if eviction and eviction.closed_until else None
