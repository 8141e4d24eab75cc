"""The benchmark's deployments and pods: many that sleep, some that are new, and pods that nobody decides on."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import LABEL_DEPLOYMENT, LABEL_MANAGED_BY, MODEL_DEPLOYMENTS, PODS, Cluster, Object
from berth_operator.deployments.actions import ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.settings import OperatorSettings

PART = "berth.dev/scale"
"""The label that says what an object is in the benchmark."""

SLEEPING, SAMPLE, EVENT, RAW = "sleeping", "sample", "event", "raw"

_AT_ONCE = 24
"""Writes under way while the objects are made."""

_LONG_AGO = "2026-01-01T00:00:00Z"


def sleeping_names(count: int) -> list[str]:
    """The names of the deployments that sleep."""
    return [f"scale-{number:05d}" for number in range(count)]


def sample_of(names: Sequence[str]) -> set[str]:
    """One in a hundred, and the last: a list, and so an operator that begins, has them by name."""
    return {*names[::100], names[-1]}


def deployment(name: str, part: str) -> Object:
    """A deployment that sleeps when it has been idle for a minute."""
    return {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": name, "labels": {PART: part}},
        "spec": {
            "model": f"/models/{name}",
            "backend": "llamacpp",
            "device": "cpu",
            "idle": {"action": "Sleep", "ttlSeconds": 60},
            "nodeSelector": {"berth.dev/no-such-node": "true"},
        },
    }


def raw_pod(made: Object, name: str) -> Object:
    """The same pod as an operator has made, for nobody."""
    spec = copy.deepcopy(made["spec"])
    labels = {
        key: value
        for key, value in made["metadata"]["labels"].items()
        if key not in (LABEL_DEPLOYMENT, LABEL_MANAGED_BY)
    }
    metadata = {"name": name, "labels": {**labels, PART: RAW}, "annotations": made["metadata"]["annotations"]}
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata, "spec": spec}


async def make_sleeping(cluster: Cluster, count: int) -> None:
    """Makes so many deployments that have been idle for long, as an operator leaves them.

    Of those of the sample an operator has written less: whoever looks at one of them has to write.
    """
    names = sleeping_names(count)
    sample = sample_of(names)

    async def make(name: str) -> None:
        made = await cluster.create(MODEL_DEPLOYMENTS, deployment(name, SAMPLE if name in sample else SLEEPING))
        slept: Object = {"phase": "Sleeping", "loadedAt": _LONG_AGO}
        status = slept if name in sample else _at_rest({**made, "status": slept})
        await cluster.patch_status(MODEL_DEPLOYMENTS, name, status)

    await _each(names, make)


def _at_rest(stored: Object) -> Object:
    """The status with which an operator has nothing more to write."""
    observed = ObservedDeployment(ModelDeployment.parse(stored), [], None)
    return make_plan(observed, OperatorSettings(), datetime.now(UTC)).status.manifest()


async def _each(names: Sequence[str], make: Callable[[str], Awaitable[None]]) -> None:
    waiting = iter(names)

    async def work() -> None:
        for name in waiting:
            await make(name)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
