"""How often models changed places on a device, and how long each change took."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from berth_cluster.cluster import LABEL_DEPLOYMENT, PODS, Object
from berth_cluster.following import Snapshot, follow
from berth_cluster.kubernetes_cluster import KubernetesCluster


class Switches:
    """What is seen of engine pods, in seconds of one clock."""

    def __init__(self) -> None:
        self._ready: dict[str, float] = {}
        self._ending: dict[str, float] = {}

    def see(self, pod: Object) -> None:
        """Takes notice of a pod as it is now."""
        uid, now = pod["metadata"]["uid"], time.monotonic()
        if "deletionTimestamp" in pod["metadata"]:
            self._ending.setdefault(uid, now)
        elif any(each["type"] == "Ready" and each["status"] == "True" for each in _conditions(pod)):
            self._ready.setdefault(uid, now)

    @property
    def seconds(self) -> list[float]:
        """Of each change: from the moment at which a pod was told to end until the next one was ready."""
        changes = (
            max((ended for ended in self._ending.values() if ended < ready), default=None)
            for ready in self._ready.values()
        )
        return [ready - ended for ready, ended in zip(self._ready.values(), changes, strict=True) if ended is not None]

    def __str__(self) -> str:
        taken = sorted(self.seconds)
        if not taken:
            return "no switches"
        return f"{len(taken)} switches, of {statistics.median(taken):.1f} s each (median), {taken[-1]:.1f} s at most"


def _conditions(pod: Object) -> list[Object]:
    return pod.get("status", {}).get("conditions") or []


@asynccontextmanager
async def switches(cluster: KubernetesCluster) -> AsyncGenerator[Switches]:
    """The switches while this is open, on a node with one device."""
    seen = Switches()

    async def watch() -> None:
        async for change in follow(cluster, PODS):
            for pod in change.items if isinstance(change, Snapshot) else [change.object]:
                if LABEL_DEPLOYMENT in pod["metadata"].get("labels", {}):
                    seen.see(pod)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
