"""Objects that the first CustomResourceDefinitions stored, after these and the operator have come."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from berth_api.model_download import DownloadPhase
from berth_cluster.cluster import LABEL_DEPLOYMENT, PODS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.integration import test_download_reconciler as downloads
from tests.integration.test_reconciler import NOWHERE, Operator
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl, KubectlError
from tests.waiting import until

EARLIER = Path(__file__).parents[1] / "unit/crds/earlier"
MOMENT = "2026-11-22T21:00:00.000Z"
SPEC: dict[str, Any] = {
    **NOWHERE,
    "devices": 1,
    "llamacpp": {"contextSize": 4096, "gpuLayers": 0, "quantization": "Q4_K_M"},
    "idle": {"ttlSeconds": 0, "action": "Sleep"},
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "tolerations": [{"key": "models", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
}
"""Every field that there was."""
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Stalled",
    "conditions": [
        {"type": kind, "status": status, "reason": "EngineExited", "message": "why", "lastTransitionTime": MOMENT}
        for kind, status in (("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True"))
    ],
    "podName": "smol-1",
    "attempt": 3,
    "startRequestedAt": MOMENT,
    "startSteps": [{"name": "PodCreated", "at": MOMENT, "seconds": 0.5}],
    "lastFailure": {"reason": "EngineExited", "message": "why", "at": MOMENT, "count": 2, "retryAt": MOMENT},
    "loadedAt": MOMENT,
    "lastActivity": MOMENT,
    "expiresAt": MOMENT,
    "activity": {"router-1": {"lastActivity": MOMENT, "keepUntil": MOMENT, "inFlight": 0}},
}
"""What an operator and a router wrote then."""
ASLEEP: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Sleeping",
    "attempt": 2,
    "loadedAt": MOMENT,
    "conditions": [{"type": "Ready", "status": "False", "reason": "Idle", "message": "no request for 60 s"}],
}
FETCHED: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Succeeded",
    "reason": "Succeeded",
    "message": "it is in the store",
    "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "it is in the store"}],
    "progress": "100%",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "bytesDone": 7,
    "bytesTotal": 7,
    "finishedAt": MOMENT,
}


def define(kubectl: Kubectl, folder: Path | str) -> None:
    """Has the CustomResourceDefinitions be these."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "--filename", str(folder))


def knows_sleepers(kubectl: Kubectl) -> bool:
    """Whether the API server goes by the present schema: `idle.startAsleep` is younger than the first one."""
    probe = json.dumps({**manifest(idle={"startAsleep": True}), "metadata": {"name": "probe"}})
    try:
        kubectl.run("create", "--dry-run=server", "--validate=strict", "--filename", "-", stdin=probe)
    except KubectlError:
        return False
    return True


@pytest.fixture
async def earlier(namespace: Kubectl) -> AsyncIterator[Kubectl]:
    """A namespace while the first CustomResourceDefinitions are in force; `upgrade` ends that."""
    define(namespace, EARLIER)
    await until(lambda: not knows_sleepers(namespace))
    yield namespace
    await upgrade(namespace)


async def upgrade(kubectl: Kubectl) -> None:
    """The CustomResourceDefinitions as they are in this checkout."""
    define(kubectl, "crds/")
    await until(lambda: knows_sleepers(kubectl))


def store(kubectl: Kubectl, item: dict[str, Any], name: str, status: dict[str, Any]) -> None:
    """Stores an object with its status, as the API server of that time did."""
    kubectl.apply({**item, "metadata": {"name": name}})
    patch = ("--type=merge", "--patch", json.dumps({"status": status}))
    kubectl.run("patch", f"{item['kind'].lower()}/{name}", "--subresource=status", *patch)


async def test_objects_of_the_first_schema_lose_nothing_and_are_reconciled(
    earlier: Kubectl, cluster: KubernetesCluster
) -> None:
    store(earlier, manifest(**SPEC), "busy", STATUS)
    store(earlier, manifest(idle={"ttlSeconds": 60}), "asleep", ASLEEP)
    store(earlier, downloads.manifest(destination="smol"), "fetched", FETCHED)

    await upgrade(earlier)
    found = earlier.json("get", "md", "busy")
    assert found["spec"] == {**manifest()["spec"], **SPEC}
    assert found["status"] == STATUS
    assert earlier.json("get", "md", "asleep")["spec"]["idle"] == {"ttlSeconds": 60, "action": "Sleep"}
    assert earlier.json("get", "mdl", "fetched")["status"] == FETCHED
    assert earlier.json("get", "mdl", "fetched")["spec"]["revision"] == "main"

    async with Operator(cluster), downloads.Operator(cluster, None, "fetched"):
        await until(lambda: earlier.json("get", "md", "busy")["status"]["attempt"] > STATUS["attempt"])
        await until(lambda: ready(earlier.json("get", "md", "asleep")) == "True")
        await downloads.until(cluster, lambda each: each.status.phase is DownloadPhase.SUCCEEDED, "fetched")
    asleep = earlier.json("get", "md", "asleep")["status"]
    assert (asleep["phase"], asleep["attempt"]) == ("Sleeping", 2), "it was not started"
    assert earlier.json("get", "mdl", "fetched")["status"]["commit"] == FETCHED["commit"]
    assert {pod["metadata"]["labels"][LABEL_DEPLOYMENT] for pod in (await cluster.list(PODS)).items} == {"busy"}


def ready(item: dict[str, Any]) -> str:
    """The status of its condition Ready; that of a sleeping one was False once."""
    [found] = [each["status"] for each in item["status"]["conditions"] if each["type"] == "Ready"]
    return found
