"""Which clusters are tested and measured on."""

import pytest

from tests.guard import TEST_CLUSTER_LABEL, refusal

MARKED = {"metadata": {"name": "marked", "labels": {TEST_CLUSTER_LABEL: "true"}}}
OTHERS = [{"metadata": {"name": "somebodys", "labels": {"kubernetes.io/os": "linux"}}}, {"metadata": {"name": "bare"}}]


def test_a_cluster_is_refused_by_the_names_of_its_unmarked_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERTH_TEST_ANY_CLUSTER", raising=False)
    assert refusal([MARKED]) is None
    refused = refusal([MARKED, *OTHERS])
    assert refused is not None
    assert "somebodys, bare" in refused
    monkeypatch.setenv("BERTH_TEST_ANY_CLUSTER", "1")
    assert refusal(OTHERS) is None
