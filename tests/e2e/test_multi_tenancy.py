"""A release of another namespace that reads the first one's store, by the manifests of the page, and under a quota."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.gpus import load_copies
from tests.e2e.release import RELEASE, Release, install, user
from tests.integration.test_chart_values import pages_manifests
from tests.kubectl import Kubectl, KubectlError
from tests.waiting import until

DOWNLOADED = "downloaded-by-the-first"
QUESTION = user("Hello")


def page(kind: str) -> dict[str, Any]:
    """The manifest of this kind on the page."""
    [found] = [item for name, item in pages_manifests() if name == "how-to/multi-tenancy.md" and item["kind"] == kind]
    return found


def store_of(release: Release) -> dict[str, Any]:
    """What the volume of the release's store is, such as `nfs` or `local`, and where."""
    volume = release.kubectl.json("get", "pvc", f"{RELEASE}-models")["spec"]["volumeName"]
    spec: dict[str, Any] = release.kubectl.json("get", "pv", volume)["spec"]
    own = ("accessModes", "capacity", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode")
    return {key: value for key, value in spec.items() if key not in own}


def give_store(kubectl: Kubectl, source: dict[str, Any]) -> str:
    """Makes the page's volume and claim in the namespace; the volume's name. `source` stands for the page's NFS."""
    volume, claim = page("PersistentVolume"), page("PersistentVolumeClaim")
    name = f"models-{kubectl.namespace}"
    shape = {key: value for key, value in volume["spec"].items() if key not in ("nfs", "mountOptions")}
    shape["claimRef"] = {**shape["claimRef"], "namespace": kubectl.namespace}
    kubectl.apply(
        {**volume, "metadata": {"name": name}, "spec": {**shape, **source}},
        {
            **claim,
            "metadata": {"name": claim["metadata"]["name"], "namespace": kubectl.namespace},
            "spec": {**claim["spec"], "volumeName": name},
        },
    )
    return name


@pytest.fixture
async def second(
    test_cluster: Kubectl, images: dict[str, str], release: Release, models: Path
) -> AsyncIterator[Release]:
    """A release in another namespace, which reads the store of the first one."""
    namespace = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    volume = give_store(namespace, store_of(release))
    installed = install(
        namespace, images, "modelStore.existingClaim=models", "modelStore.routerMayDelete=false", "router.replicas=1"
    )
    load_copies(release, models, (DOWNLOADED,))
    cluster = await KubernetesCluster.connect(namespace.namespace)
    installed.watch_with(cluster)
    yield installed
    await cluster.close()
    installed.uninstall()
    test_cluster.run("delete", "pv", volume, "--wait=false")


async def test_a_second_namespace_reads_what_the_first_one_has_downloaded_within_its_quota(second: Release) -> None:
    quota = page("ResourceQuota")
    small = {"requests.memory": "1Mi", "requests.cpu": "1m"}
    second.kubectl.apply({**quota, "metadata": {"name": "berth"}, "spec": {"hard": small}})
    await until(lambda: second.kubectl.json("get", "quota", "berth").get("status", {}).get("used"))
    status, answer, headers = await ask(second)
    assert status == 503
    assert "exceeded quota: berth" in answer["error"]["message"], "whoever waits is told why"
    assert int(headers["retry-after"]) >= 1
    [refused] = await second.deployments()
    assert refused.status.last_failure
    assert refused.status.last_failure.reason == "PodRefused"

    second.kubectl.run("delete", "quota", "berth")
    await second.cluster.delete(MODEL_DEPLOYMENTS, refused.name)
    await second.until(MODEL_DEPLOYMENTS, lambda objects: True if not objects else None)
    status, answer, _ = await ask(second)
    assert (status, bool(answer["choices"])) == (200, True)

    [engine] = await second.engine_pods()
    claims = [each["persistentVolumeClaim"] for each in engine["spec"]["volumes"] if "persistentVolumeClaim" in each]
    assert claims == [{"claimName": "models", "readOnly": True}]
    with pytest.raises(KubectlError, match="Read-only file system"):
        second.kubectl.run("exec", f"deployment/{RELEASE}-router", "--", "touch", "/models/mine")


async def ask(berth: Release) -> tuple[int, Any, dict[str, str]]:
    """One short answer of the model that the first release has put into the store."""
    body = {"model": f"/models/{DOWNLOADED}", "messages": QUESTION, "max_tokens": 1}
    return await berth.post("/v1/chat/completions", body)
