"""The command `berth-uninstall`: a hook of the chart has it run before a release goes.

Without routers and operator nobody would ever end what a request started. What people have declared is theirs: it stays
as it is, and is named. It needs no operator: what a deleted object owns goes with it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence

from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    LABEL_DOWNLOAD,
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    MODEL_DOWNLOADS,
    PODS,
    ROUTER,
    Cluster,
    ClusterError,
    Kind,
    NotFoundError,
)
from berth_cluster.kubernetes_cluster import KubernetesCluster

PROGRAM = "berth-uninstall"

PATIENCE_SECONDS = 240
"""For pods to end: less than helm waits for a hook. What still answers then ends by itself, when its client has all."""

_LOOK_EVERY_SECONDS = 0.5

_KINDS = {MODEL_DEPLOYMENTS: LABEL_DEPLOYMENT, MODEL_DOWNLOADS: LABEL_DOWNLOAD}
"""What routers make, and the label with its name on its pods."""


_WHAT_TO_DO = (
    "Nobody starts or ends these until Berth is installed again."
    " To delete them, and the engines that run for them: kubectl delete md,mdl --all"
)


def main() -> int:
    """Ends what routers made, and says on standard output what is left. Exit code 1: the cluster refused or failed."""
    try:
        asyncio.run(_run())
    except ClusterError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


async def _run() -> None:
    cluster = await KubernetesCluster.connect(program=PROGRAM)
    try:
        kinds = [kind for kind in _KINDS if await cluster.serves(kind)]
        await end_all(cluster, kinds)
        for line in await what_is_left(cluster, kinds):
            print(line)
    finally:
        await cluster.close()


async def end_all(
    cluster: Cluster,
    kinds: Collection[Kind] = tuple(_KINDS),
    patience: float = PATIENCE_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Deletes what routers made, also what they go on to make, and returns when its pods are gone, or after `patience`.

    `kinds`: those that there are. `patience`: seconds. Raises ClusterError.
    """
    ended: set[tuple[str, str]] = set()
    for _ in range(max(1, int(patience / _LOOK_EVERY_SECONDS))):
        made = await _delete_what_routers_made(cluster, kinds)
        ended |= made
        if not made and not await _pods_of(cluster, ended):
            return
        await sleep(_LOOK_EVERY_SECONDS)


async def what_is_left(cluster: Cluster, kinds: Collection[Kind] = tuple(_KINDS)) -> Sequence[str]:
    """For people: which objects of Berth are still there, and how they are deleted."""
    names = {kind: [each["metadata"]["name"] for each in (await cluster.list(kind)).items] for kind in kinds}
    lines = [f"left: {kind.kind} {name}" for kind, all_names in names.items() for name in sorted(all_names)]
    if not lines:
        return ["left: no ModelDeployment and no ModelDownload"]
    return [*lines, _WHAT_TO_DO]


async def _delete_what_routers_made(cluster: Cluster, kinds: Collection[Kind]) -> set[tuple[str, str]]:
    """Those that were there: the label and the value of it that their pods have."""
    there: set[tuple[str, str]] = set()
    for kind in kinds:
        for each in (await cluster.list(kind, {LABEL_MANAGED_BY: ROUTER})).items:
            there.add((_KINDS[kind], each["metadata"]["name"]))
            await _delete(cluster, kind, each["metadata"]["name"])
    return there


async def _delete(cluster: Cluster, kind: Kind, name: str) -> None:
    try:
        await cluster.delete(kind, name)
    except NotFoundError:
        return
    print(f"deleted: {kind.kind} {name}, which a request made", flush=True)


async def _pods_of(cluster: Cluster, ended: set[tuple[str, str]]) -> bool:
    """Whether any of these has a pod."""
    if not ended:
        return False
    labels: list[dict[str, str]] = [pod["metadata"].get("labels") or {} for pod in (await cluster.list(PODS)).items]
    return any(not ended.isdisjoint(each.items()) for each in labels)
