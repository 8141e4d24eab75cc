"""Berth's router in a process of its own, with everything on, as `berth-router` runs it, but over objects in memory.

    python -m benchmarks.router.berth ENGINE_URL

The settings come from the environment, as in a cluster. What an operator would do is little here: a deployment that the
router makes is ready at once, and its engine is at ENGINE_URL.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime

import uvloop

from berth_cluster.cluster import CONFIG_MAPS, MODEL_DEPLOYMENTS, Cluster
from berth_local.node.cluster import LocalCluster
from berth_process.log import configure_log
from berth_router.main import serve
from berth_router.settings import RouterSettings


async def play_operator(cluster: Cluster, engine_url: str) -> None:
    """Marks each new deployment as one whose engine serves, for ever."""
    version = (await cluster.list(MODEL_DEPLOYMENTS)).resource_version
    async for change in cluster.watch(MODEL_DEPLOYMENTS, version):
        if change.type == "ADDED":
            status = {"phase": "Ready", "endpoint": engine_url, "loadedAt": datetime.now(UTC).isoformat()}
            await cluster.patch_status(MODEL_DEPLOYMENTS, change.object["metadata"]["name"], status)


async def run(engine_url: str) -> None:
    """Serves until a signal ends it."""
    settings = RouterSettings()
    configure_log(sys.stdout, settings.log_level)
    cluster = LocalCluster()
    if settings.stats_config_map:
        kind = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind}
        await cluster.create(CONFIG_MAPS, {**kind, "metadata": {"name": settings.stats_config_map}})
    operator = asyncio.create_task(play_operator(cluster, engine_url))
    await serve(cluster, settings)
    operator.cancel()
    with suppress(asyncio.CancelledError):
        await operator


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
