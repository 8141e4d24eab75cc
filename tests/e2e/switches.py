"""How often models changed places on a device, and how long each change took."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from berth_cluster.cluster import LABEL_DEPLOYMENT, MODEL_DEPLOYMENTS, PODS, Kind, Object
from berth_cluster.following import Snapshot, follow
from berth_cluster.kubernetes_cluster import KubernetesCluster

_ENDED = ("Succeeded", "Failed")


class Switches:
    """What is seen of engine pods and of deployments, in seconds of one clock."""

    def __init__(self) -> None:
        self._ready: dict[tuple[str, str], float] = {}
        self._ending: dict[str, float] = {}
        self._steps: dict[str, float] = {}

    def see_pod(self, pod: Object) -> None:
        """Takes notice of a pod as it is now."""
        if LABEL_DEPLOYMENT not in pod["metadata"].get("labels", {}):
            return
        now, phase = time.monotonic(), pod.get("status", {}).get("phase")
        model = pod["metadata"]["labels"][LABEL_DEPLOYMENT]
        self._steps.setdefault(f"{model} has a pod", now)
        if "nodeName" in pod["spec"]:
            self._steps.setdefault(f"{model} has a node", now)
        if phase == "Running":
            self._steps.setdefault(f"{model} runs", now)
        if "deletionTimestamp" in pod["metadata"]:
            self._ending.setdefault(pod["metadata"]["uid"], now)
            self._steps.setdefault(f"{model} is told to end", now)
        if phase in _ENDED:
            self._steps.setdefault(f"{model} has ended", now)

    def see_deployment(self, deployment: Object) -> None:
        """Takes notice of a deployment as it is now. Its pod's own word comes later: the kubelet asks now and then."""
        status = deployment.get("status", {})
        if status.get("phase") == "Ready":
            now = time.monotonic()
            self._ready.setdefault((deployment["metadata"]["uid"], status["loadedAt"]), now)
            self._steps.setdefault(f"{deployment['metadata']['name']} is ready", now)

    @property
    def seconds(self) -> list[float]:
        """Of each change: from the moment at which a pod was told to end until the next model was ready."""
        changes = (
            (ready, max((ended for ended in self._ending.values() if ended < ready), default=None))
            for ready in self._ready.values()
        )
        return [ready - ended for ready, ended in changes if ended is not None]

    def steps_since(self, began: float) -> str:
        """What was seen first since that moment of the monotonic clock, and how long after it. For people."""
        seen = sorted((at - began, what) for what, at in self._steps.items() if at >= began)
        return "; ".join(f"{what} after {seconds:.2f} s" for seconds, what in seen)

    def __str__(self) -> str:
        taken = sorted(self.seconds)
        if not taken:
            return "no switches"
        return f"{len(taken)} switches, of {statistics.median(taken):.1f} s each (median), {taken[-1]:.1f} s at most"


@asynccontextmanager
async def switches(cluster: KubernetesCluster) -> AsyncGenerator[Switches]:
    """The switches while this is open, on a node with one device."""
    seen = Switches()

    async def watch(kind: Kind, see: Callable[[Object], None]) -> None:
        async for change in follow(cluster, kind):
            for item in change.items if isinstance(change, Snapshot) else [change.object]:
                see(item)

    watching = [
        asyncio.create_task(watch(PODS, seen.see_pod)),
        asyncio.create_task(watch(MODEL_DEPLOYMENTS, seen.see_deployment)),
    ]
    try:
        yield seen
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
