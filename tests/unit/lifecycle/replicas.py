"""Router replicas on one cluster, with their leases only, and the deployment that they use."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from berth_api.model_deployment import ModelDeployment, ReplicaActivity
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, Object
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import Claim, Leases
from berth_router.lifecycle.unloader import Unloader

NAME = "a"


class Replica:
    """A router replica without its HTTP. Use `running`."""

    def __init__(self, cluster: Cluster, name: str, clock: Callable[[], datetime]) -> None:
        self.name = name
        self.deployments = Deployments(cluster, clock)
        self.leases = Leases(cluster, self.deployments, name, clock)
        self.unloader = Unloader(cluster, self.deployments, self.leases, lambda: asyncio.get_running_loop().time())

    @property
    def deployment(self) -> ModelDeployment:
        """As this replica sees it."""
        deployment = self.deployments.get(NAME)
        assert deployment
        return deployment

    async def begin(self, ttl: int) -> Claim:
        """A request that may be passed on."""
        claim = self.leases.claim_now(self.deployment, ttl)
        if claim is None:
            claim = self.leases.claim(self.deployment, ttl)
            assert await self.leases.ensure_lease(claim)
        return claim

    async def ask(self, ttl: int) -> None:
        """A request with a short answer."""
        self.leases.release(await self.begin(ttl))


@asynccontextmanager
async def running(cluster: Cluster, name: str, clock: Callable[[], datetime]) -> AsyncGenerator[Replica]:
    """A replica that knows the deployments there are, until it is killed."""
    replica = Replica(cluster, name, clock)
    view = asyncio.create_task(replica.deployments.run())
    await replica.deployments.synced.wait()
    try:
        yield replica
    finally:
        view.cancel()
        await asyncio.gather(view, return_exceptions=True)
        await replica.leases.leave()


async def make_ready(cluster: Cluster, now: datetime, ttl: int = 300, action: str = "Delete", **status: Any) -> Object:
    """A deployment whose engine has just become ready, as the cluster has it."""
    body = {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": NAME},
        "spec": {
            "model": "/models/tiny",
            "backend": "llamacpp",
            "device": "cpu",
            "idle": {"ttlSeconds": ttl, "action": action},
        },
    }
    await cluster.create(MODEL_DEPLOYMENTS, body)
    ready = {"phase": "Ready", "endpoint": "http://127.0.0.1:1", "loadedAt": now.isoformat(), **status}
    return await cluster.patch_status(MODEL_DEPLOYMENTS, NAME, ready)


async def stored(cluster: Cluster) -> ModelDeployment:
    """The deployment as the cluster has it."""
    return ModelDeployment.parse(await cluster.get(MODEL_DEPLOYMENTS, NAME))


async def entry_of(cluster: Cluster, replica: str) -> ReplicaActivity:
    """What the replica has reported."""
    return (await stored(cluster)).status.activity[replica]
