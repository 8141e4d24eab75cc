"""What tests/unit/router stands on, with Kubernetes in place of the local cluster."""

import secrets
from collections.abc import AsyncIterator

import pytest

from berth_cluster.cluster import CONFIG_MAPS, MODEL_DEPLOYMENTS, MODEL_DOWNLOADS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.instruments import Instrumented, InstrumentedCluster
from tests.kubectl import Kubectl
from tests.unit.router.conftest import engine, ready, serving, settings

__all__ = ["engine", "ready", "serving", "settings"]

_KUBERNETES_OWN = "kube-root-ca.crt"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what only the local cluster can be made to do."""
    for item in items:
        if marker := item.get_closest_marker("in_memory"):
            item.add_marker(pytest.mark.skip(reason=f"on the local cluster only: {marker.args[0]}"))


@pytest.fixture(scope="session")
async def connected(test_cluster: Kubectl, crds: None) -> AsyncIterator[KubernetesCluster]:
    """A namespace for all of these tests: making one takes longer than most of them."""
    name = f"berth-test-{secrets.token_hex(4)}"
    make_namespace(test_cluster, name)
    cluster = await KubernetesCluster.connect(name)
    yield cluster
    await cluster.close()
    test_cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def cluster(connected: KubernetesCluster) -> AsyncIterator[InstrumentedCluster]:
    """An empty namespace, with instruments."""
    yield Instrumented(connected)
    for kind in (MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, CONFIG_MAPS):
        for item in (await connected.list(kind)).items:
            if item["metadata"]["name"] != _KUBERNETES_OWN:
                await connected.delete(kind, item["metadata"]["name"])
