"""The local cluster. tests/integration/router runs the same tests with Kubernetes in its place."""

import pytest

from tests.instruments import InstrumentedCluster
from tests.unit.memory_cluster import MemoryCluster


@pytest.fixture
def cluster() -> InstrumentedCluster:
    return MemoryCluster()
