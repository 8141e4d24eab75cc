"""The Cluster interface over a real API server: what is Kubernetes' own.

What every Cluster does is in tests/unit/local/node/test_cluster_contract.py, which runs on Kubernetes too.
"""

from typing import Any

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, ExpiredError, UnavailableError
from berth_cluster.kubernetes_cluster import KubernetesCluster


async def test_a_version_that_is_too_old_is_told_apart(cluster: KubernetesCluster) -> None:
    with pytest.raises((ExpiredError, UnavailableError)) as refusal:
        async for _ in cluster.watch(MODEL_DEPLOYMENTS, "1"):
            pass
    assert isinstance(refusal.value, ExpiredError)


async def test_without_an_api_server_it_says_so(tmp_path: Any) -> None:
    with pytest.raises(UnavailableError):
        await KubernetesCluster.connect("default", str(tmp_path / "kubeconfig"))
