"""Keeps tests and benchmarks off clusters that are in use: they create and delete namespaces and CRDs."""

import os
from collections.abc import Sequence

from berth_cluster.cluster import Object

TEST_CLUSTER_LABEL = "berth.dev/test-cluster"


def refusal(nodes: Sequence[Object]) -> str | None:
    """Why a cluster of these nodes must not be used; None where it may be."""
    unmarked = [
        node["metadata"]["name"]
        for node in nodes
        if node["metadata"].get("labels", {}).get(TEST_CLUSTER_LABEL) != "true"
    ]
    if not unmarked or os.environ.get("BERTH_TEST_ANY_CLUSTER") == "1":
        return None
    return (
        f"these nodes are not marked as a test cluster's: {', '.join(unmarked)}. Namespaces and CRDs are created and "
        f"deleted; if this cluster may be used, run: kubectl label nodes --all {TEST_CLUSTER_LABEL}=true, "
        "or set BERTH_TEST_ANY_CLUSTER=1"
    )
