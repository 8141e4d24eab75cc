"""The router as `berth-router` runs it, over objects in memory: `python -m ...router_process JSON`.

The argument has the router's settings and where each model's engine listens. Whatever is asked for is made ready as an
operator does it, and now and then moved to another pod. It prints its port, and ends as `berth-router` does. Its log
goes to stderr, and so does what each thread is doing, when it gets SIGUSR1.
"""

import asyncio
import faulthandler
import itertools
import json
import signal
import sys
from datetime import UTC, datetime
from random import Random
from typing import Any

import uvloop

from berth_cluster.cluster import MODEL_DEPLOYMENTS, Object
from berth_local.node.cluster import LocalCluster
from berth_process.log import configure_log
from berth_process.stop_signals import stop_events
from berth_router.app import Router
from berth_router.main import listen
from berth_router.serving import inference
from berth_router.settings import Settings

NEWS_SECONDS = 0.2
"""How long a client whose answer broke waits for the reason. There is none here, since no operator looks for it."""


class Operator:
    """Makes ready what is asked for, and moves it from pod to pod."""

    def __init__(self, cluster: LocalCluster, engines: dict[str, str]) -> None:
        self._cluster = cluster
        self._engines = engines
        self._pods = itertools.count(1)
        self._random = Random(0)  # noqa: S311 (no secret)

    async def run(self) -> None:
        """For ever."""
        known: set[str] = set()
        while True:
            await asyncio.sleep(0.05)
            deployments = (await self._cluster.list(MODEL_DEPLOYMENTS)).items
            for deployment in deployments:
                name = deployment["metadata"]["name"]
                if name not in known:
                    known.add(name)
                    await self._make_ready(deployment)
                elif self._random.random() < 0.005:
                    await self._cluster.patch_status(MODEL_DEPLOYMENTS, name, {"phase": "Pending", "endpoint": None})
                    await asyncio.sleep(0.02)
                    await self._make_ready(deployment)

    async def _make_ready(self, deployment: Object) -> None:
        status: Object = {
            "phase": "Ready",
            "endpoint": self._engines[deployment["spec"]["model"]],
            "podName": f"pod-{next(self._pods)}",
            "loadedAt": datetime.now(UTC).isoformat(),
            "conditions": [],
        }
        await self._cluster.patch_status(MODEL_DEPLOYMENTS, deployment["metadata"]["name"], status)


async def main(settings: Settings, engines: dict[str, str]) -> None:
    """Serves until a signal ends it."""
    cluster = LocalCluster()
    router = Router(cluster, settings)
    operating = asyncio.create_task(Operator(cluster, engines).run())
    with listen(settings.host, 0) as listener, stop_events((signal.SIGINT, signal.SIGTERM)) as signals:
        async with router.serving(listener) as server:
            print(listener.getsockname()[1], file=sys.__stdout__, flush=True)
            await signals.stop.wait()
            await router.drain(server, settings.drain_seconds, settings.lame_duck_seconds, signals.hurry)
    operating.cancel()


if __name__ == "__main__":
    told: dict[str, Any] = json.loads(sys.argv[1])
    faulthandler.register(signal.SIGUSR1)
    sys.stdout = sys.stderr  # a pipe that nobody reads would hold up whoever writes to it
    configure_log(sys.stdout, "WARNING")
    inference._REASON_SECONDS = NEWS_SECONDS  # pyright: ignore[reportPrivateUsage]
    uvloop.run(main(Settings.model_validate(told["settings"]), told["engines"]))
