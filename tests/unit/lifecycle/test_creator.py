"""A deployment is created once. Each request that needs it waits no longer than its own deadline."""

import asyncio
import time
from typing import Any

import pytest

from berth_api.engine_settings import LlamaCppSettings
from berth_api.identity import deployment_name, with_defaults
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Kind, Object
from berth_router.errors import DeadlineError
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import Create
from tests.unit.memory_cluster import MemoryCluster

SPEC = with_defaults(
    ModelDeploymentSpec(model="/models/tiny", backend=Backend.LLAMACPP, device=Device.CPU, llamacpp=LlamaCppSettings())
)
WANTED = Create(deployment_name(SPEC), SPEC)
_UNUSED: Any = None
"""The store and the policy, which only a decision needs."""


class Slow(MemoryCluster):
    """Creates once `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        self.calls["create"] += 1
        await self.go_on.wait()
        return await super().create(kind, manifest)


async def test_who_joins_a_create_waits_until_its_own_deadline() -> None:
    cluster = Slow()
    creator = Creator(cluster, Deployments(cluster), _UNUSED, _UNUSED)
    patient = asyncio.create_task(creator.create(WANTED, time.monotonic() + 60))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineError):
        await creator.create(WANTED, time.monotonic() + 0.05)
    assert not patient.done()
    cluster.go_on.set()
    await patient


async def test_the_first_ones_deadline_is_not_that_of_those_who_join() -> None:
    cluster = MemoryCluster()
    deployments = Deployments(cluster)
    await cluster.create(
        MODEL_DEPLOYMENTS,
        {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            "metadata": {"name": WANTED.name},
            "spec": SPEC.manifest(),
        },
    )
    stored = cluster._objects[MODEL_DEPLOYMENTS.plural][WANTED.name]  # pyright: ignore[reportPrivateUsage]
    stored["metadata"]["deletionTimestamp"] = "2026-01-02T12:00:00Z"
    creator = Creator(cluster, deployments, _UNUSED, _UNUSED)
    hasty = asyncio.create_task(creator.create(WANTED, time.monotonic() + 0.05))
    await asyncio.sleep(0)
    patient = asyncio.create_task(creator.create(WANTED, time.monotonic() + 60))
    with pytest.raises(DeadlineError, match="predecessor"):
        await hasty
    assert not patient.done()
    existing = deployments.get(WANTED.name)
    assert existing
    deployments.forget(existing)
    await patient
