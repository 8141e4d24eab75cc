"""The cluster of a test: the one in memory, or with --cluster=kubernetes a namespace of a real API server."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from berth_cluster.cluster import CONFIG_MAPS, MODEL_DEPLOYMENTS, MODEL_DOWNLOADS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.instruments import Instrumented, InstrumentedCluster
from tests.kubectl import Kubectl
from tests.unit.memory_cluster import MemoryCluster

_HERE = Path(__file__).parent
_KUBERNETES_OWN = "kube-root-ca.crt"

# How long examples take says how busy the machine is, and no test is about that.
settings.register_profile("berth", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("berth")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A real API server gets those tests of the unit level that have a cluster, and do not need the one in memory."""
    if config.getoption("--cluster") == "memory":
        return
    others = [item for item in items if item.path.is_relative_to(_HERE) and "cluster" not in _fixtures(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    for item in items:
        if marker := item.get_closest_marker("in_memory"):
            item.add_marker(pytest.mark.skip(reason=f"on the cluster in memory only: {marker.args[0]}"))


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> InstrumentedCluster:
    """An empty cluster, with instruments."""
    if request.config.getoption("--cluster") == "memory":
        return MemoryCluster()
    return Instrumented(request.getfixturevalue("_emptied"))


@pytest.fixture(scope="session")
async def _connected(test_cluster: Kubectl, crds: None) -> AsyncIterator[KubernetesCluster]:
    """A namespace for all tests: to make one takes longer than most of them."""
    name = f"berth-test-{secrets.token_hex(4)}"
    make_namespace(test_cluster, name)
    connected = await KubernetesCluster.connect(name)
    yield connected
    await connected.close()
    test_cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def _emptied(_connected: KubernetesCluster) -> AsyncIterator[KubernetesCluster]:
    """That namespace; what the test leaves in it is deleted."""
    yield _connected
    for kind in (MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, CONFIG_MAPS):
        for item in (await _connected.list(kind)).items:
            if item["metadata"]["name"] != _KUBERNETES_OWN:
                await _connected.delete(kind, item["metadata"]["name"])
