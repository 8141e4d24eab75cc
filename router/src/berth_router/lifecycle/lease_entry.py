"""What an object says to the leases of one replica, and what that replica writes into it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from berth_api.activity import last_unload
from berth_api.model_deployment import ModelDeployment, ReplicaActivity
from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a deployment."""

    version: int
    own: ReplicaActivity | None
    """This replica's entry."""
    unloaded_at: datetime | None
    """When it was last unloaded, by any replica."""
    closed_until: datetime | None
    """Until when it is closed to requests, by any replica."""
    created_at: datetime

    @classmethod
    def of(cls, deployment: ModelDeployment, replica: str) -> Self:
        """What the deployment says to this replica."""
        entries = deployment.status.activity
        return cls(
            version=int(deployment.resource_version),
            own=entries.get(replica),
            unloaded_at=last_unload(deployment),
            closed_until=max((entry.closed_until for entry in entries.values() if entry.closed_until), default=None),
            created_at=deployment.created_at,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be written at once, beside the lease: nobody who gives an order waits for a lease."""

    close_until: datetime | None = None
    """Close the deployment to requests until then. None: open it."""
    unload_at: datetime | None = None
    """Unload it: this moment, or the last activity that the entry tells of, whichever is later."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is to be written."""

    last_activity: datetime
    keep_until: datetime
    lease_until: datetime | None
    in_flight: int
    orders: tuple[Order, ...] = ()

    def patch(self) -> Object:
        """The merge patch of the entry: a null takes a field out, and what is not named stays as it is stored."""
        patch: Object = {
            "lastActivity": format_timestamp(self.last_activity),
            "keepUntil": format_timestamp(self.keep_until),
            "leaseUntil": format_timestamp(self.lease_until) if self.lease_until else None,
            "inFlight": self.in_flight,
        }
        for order in self.orders:
            patch["closedUntil"] = format_timestamp(order.close_until) if order.close_until else None
            if order.unload_at:
                patch["unloadAt"] = format_timestamp(max(order.unload_at, self.last_activity))
        return patch
