"""Which clusters are measured on."""

from benchmarks.installation import unmarked_nodes
from tests.conftest import TEST_CLUSTER_LABEL


def test_only_nodes_that_say_so_are_a_test_clusters() -> None:
    nodes = [
        {"metadata": {"name": "marked", "labels": {TEST_CLUSTER_LABEL: "true"}}},
        {"metadata": {"name": "somebodys", "labels": {"kubernetes.io/os": "linux"}}},
        {"metadata": {"name": "bare"}},
    ]
    assert unmarked_nodes(nodes) == ["somebodys", "bare"]
