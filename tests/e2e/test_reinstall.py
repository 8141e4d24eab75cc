"""A release that goes and comes again: what it leaves is whole, and the next one takes it over."""

import re
import secrets
import subprocess
from collections.abc import AsyncIterator

import pytest

from berth_cluster.cluster import LABEL_DEPLOYMENT, MODEL_DEPLOYMENTS, PODS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.release import MODEL, RELEASE, Release, install, is_ready, user
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.waiting import until

DECLARED = "smol"
ASKED_FOR = {"model": MODEL, "messages": user("Hello"), "max_tokens": 1, "n_ctx": 4096}
"""More context than the declared one has: a router makes a deployment of its own for it."""

OF_THE_RELEASE = f"app.kubernetes.io/instance={RELEASE}"
OF_THE_HOOK = f"{OF_THE_RELEASE},app.kubernetes.io/component=uninstall"


class Namespace:
    """Where the same release comes and goes."""

    def __init__(self, kubectl: Kubectl, cluster: KubernetesCluster, images: dict[str, str]) -> None:
        self.kubectl = kubectl
        self._cluster = cluster
        self._images = images

    def install(self) -> Release:
        """A new release, always of the same name."""
        release = install(self.kubectl, self._images, "modelStore.keep=true", "router.replicas=1")
        release.watch_with(self._cluster)
        return release

    def uninstall(self, *arguments: str) -> tuple[bool, str]:
        """Whether `helm uninstall` has done it, and what it said."""
        command = ["helm", "uninstall", RELEASE, "--namespace", self.kubectl.namespace, "--wait", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode == 0, done.stdout + done.stderr

    async def fill(self, **resources: str) -> None:
        """Has a quota that is in force, and that allows no more than this."""
        hard = {name.replace("_", "."): amount for name, amount in resources.items()}
        self.kubectl.run("delete", "quota", "full", "--ignore-not-found")
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": hard}}
        self.kubectl.apply(quota)
        await until(lambda: self.kubectl.json("get", "quota", "full").get("status", {}).get("used"))

    async def engines(self) -> dict[str, tuple[str, bool]]:
        """By deployment: the uid of its pod, and whether that is ready and there to stay."""
        return {
            pod["metadata"]["labels"][LABEL_DEPLOYMENT]: (
                pod["metadata"]["uid"],
                is_ready(pod) and "deletionTimestamp" not in pod["metadata"],
            )
            for pod in (await self._cluster.list(PODS)).items
            if LABEL_DEPLOYMENT in pod["metadata"]["labels"]
        }


@pytest.fixture
async def place(test_cluster: Kubectl, images: dict[str, str], release: Release) -> AsyncIterator[Namespace]:
    """A namespace in which nothing is installed yet."""
    del release  # its models are used
    kubectl = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    cluster = await KubernetesCluster.connect(kubectl.namespace)
    place = Namespace(kubectl, cluster, images)
    yield place
    await cluster.close()
    kubectl.run("delete", "quota,md,mdl", "--all")
    place.uninstall("--ignore-not-found", "--no-hooks")
    test_cluster.run("delete", "namespace", kubectl.namespace, "--wait=false")


async def test_a_release_takes_over_what_the_one_before_has_left(place: Namespace) -> None:
    first = place.install()
    place.kubectl.apply(manifest(model=MODEL, llamacpp={"contextSize": 2048}))
    status, answer, _ = await first.post("/v1/chat/completions", ASKED_FOR)
    assert status == 200, answer
    await first.until_deployment(lambda each: each.name == DECLARED and each.status.phase == "Ready")
    # An operator that has probed an engine knows of it before the kubelet does.
    place.kubectl.run("wait", "pods", "--for=condition=Ready", "--selector", LABEL_DEPLOYMENT, "--timeout=60s")
    before, engines = await first.deployments(), await place.engines()
    [asked_for] = engines.keys() - {DECLARED}

    # A quota that no further pod fits in: helm says so, and nothing has changed.
    await place.fill(pods=str(len(place.kubectl.json("get", "pods")["items"])))
    done, said = place.uninstall()
    assert not done
    assert f'pods "{RELEASE}-uninstall" is forbidden: exceeded quota: full' in said
    assert first.answers()
    assert await place.engines() == engines

    # Without the hook all stays, and helm names what is not seen by `kubectl get md`.
    done, said = place.uninstall("--no-hooks")
    assert done, said
    kept = set(re.findall(r"^\[(\w+)\] (\S+)$", said, re.MULTILINE))
    assert kept >= {
        ("PersistentVolumeClaim", f"{RELEASE}-models"),
        ("Secret", f"{RELEASE}-api-keys"),
        ("Secret", f"{RELEASE}-engine-keys"),
    }
    assert not place.kubectl.json("get", "deployments,services,configmaps", "--selector", OF_THE_RELEASE)["items"]
    assert [each.uid for each in await first.deployments()] == [each.uid for each in before]
    assert await place.engines() == engines

    place.kubectl.run("delete", "quota", "full")
    second = place.install()
    async with second.counting() as seen:
        for n_ctx in (4096, 1024):
            status, answer, _ = await second.post("/v1/chat/completions", {**ASKED_FOR, "n_ctx": n_ctx})
            assert status == 200, answer
        await second.until_phase("Ready")
    assert seen[MODEL_DEPLOYMENTS.plural] == {each.uid for each in before}
    assert seen[PODS.plural] == {uid for uid, _ in engines.values()}
    assert second.api_key == first.api_key

    # A quota of memory that engines have used up keeps no pod out that asks for none.
    await place.fill(requests_memory="1Mi")
    done, said = place.uninstall()
    assert done, said
    assert f"deleted: ModelDeployment {asked_for}, which a request made" in said
    assert f"left: ModelDeployment {DECLARED}" in said
    assert await place.engines() == {DECLARED: engines[DECLARED]}
    assert not place.kubectl.json("get", "serviceaccounts,roles,rolebindings", "--selector", OF_THE_HOOK)["items"]
