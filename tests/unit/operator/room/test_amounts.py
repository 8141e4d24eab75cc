"""Kubernetes' quantities, and what the scheduler counts for a pod."""

from typing import Any

import pytest

from berth_operator.room.amounts import amounts, pod_amounts, quantity

GI = 1024**3


@pytest.mark.parametrize(
    ("resource", "value", "read"),
    [
        ("nvidia.com/gpu", 1, 1),
        ("nvidia.com/gpu", "2", 2),
        ("cpu", "500m", 500),
        ("cpu", 2, 2000),
        ("cpu", "0.25", 250),
        ("cpu", 1.5, 1500),
        ("cpu", "1500000n", 1),
        ("memory", "1.5Gi", GI * 3 // 2),
        ("memory", "1Ki", 1024),
        ("memory", "1e3", 1000),
        ("memory", "1E3", 1000),
        ("memory", "2E", 2 * 10**18),
        ("memory", "1G", 10**9),
        ("memory", "128974848", 128974848),
        ("memory", "100500m", 100),
        ("memory", "much", 0),
        ("memory", "", 0),
        ("memory", "Gi", 0),
        ("memory", "NaN", 0),
        ("memory", "Infinity", 0),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(resource: str, value: str | float, read: int) -> None:
    assert quantity(resource, value) == read


def test_only_what_models_wait_for_is_counted() -> None:
    has = {
        "cpu": "4",
        "memory": "1Gi",
        "nvidia.com/gpu": "0",
        "amd.com/gpu": "2",
        "pods": "110",
        "ephemeral-storage": "1",
    }
    assert amounts(has) == {"cpu": 4000, "memory": GI, "amd.com/gpu": 2}


def container(requests: dict[str, Any] | None = None, limits: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": "x", "resources": {"requests": requests, "limits": limits}}


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({"containers": [{"name": "bare"}]}, {}),
        (
            {"containers": [container({"cpu": "1"}), container({"cpu": "500m", "memory": "1Ki"})]},
            {"cpu": 1500, "memory": 1024},
        ),
        ({"containers": [container(limits={"nvidia.com/gpu": 1})]}, {"nvidia.com/gpu": 1}),
        ({"containers": [container({"cpu": "1"}, {"cpu": "4"})]}, {"cpu": 1000}),
        ({"containers": [container({"cpu": "1"})], "initContainers": [container({"cpu": "3"})]}, {"cpu": 3000}),
        ({"containers": [container({"cpu": "4"})], "initContainers": [container({"cpu": "3"})]}, {"cpu": 4000}),
        ({"containers": [container({"cpu": "1"})], "overhead": {"cpu": "250m"}}, {"cpu": 1250}),
        (
            {
                "containers": [container({"cpu": "1"})],
                "initContainers": [{**container({"cpu": "2"}), "restartPolicy": "Always"}, container({"cpu": "2"})],
            },
            {"cpu": 4000},
        ),
    ],
    ids=["nothing", "the sum", "a limit", "a request", "larger before", "smaller before", "overhead", "a sidecar"],
)  # fmt: skip
def test_a_pod_takes_what_the_scheduler_counts(spec: dict[str, Any], takes: dict[str, int]) -> None:
    assert pod_amounts({"spec": spec}) == takes
