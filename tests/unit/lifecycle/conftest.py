"""The local cluster; tests/integration/router runs what uses it with Kubernetes in its place."""

import pytest

from tests.instruments import InstrumentedCluster
from tests.unit.memory_cluster import MemoryCluster


@pytest.fixture
def cluster() -> InstrumentedCluster:
    return MemoryCluster()
