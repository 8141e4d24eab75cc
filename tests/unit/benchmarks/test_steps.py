"""The arithmetic of the cold start's benchmark."""

from typing import Any

import pytest

from benchmarks.engine_pod import copy_without_berth, engine_url, health_url, is_berths, is_by_hand
from benchmarks.steps import (
    BERTH_STEPS,
    HAND_STEPS,
    Sighting,
    StartPair,
    Step,
    berth_share,
    moments_in_cluster,
    percentile,
    since_previous,
    whole,
)
from berth_cluster.cluster import LABEL_DEPLOYMENT, MODEL_DEPLOYMENTS, PODS, Object

BERTH_RUN: dict[Step, float] = dict(
    zip(BERTH_STEPS, (10.0, 10.02, 10.05, 10.06, 10.6, 11.2, 11.23, 11.29), strict=True)
)
HAND_RUN: dict[Step, float] = dict(zip(HAND_STEPS, (20.0, 20.01, 20.02, 20.6, 21.1, 21.1, 21.14), strict=True))


def pod(labels: dict[str, str] | None = None, node: str | None = None, ip: str | None = None, *states: str) -> Object:
    metadata = {"name": "smol-1", "uid": "u1", "labels": labels or {}, "ownerReferences": [{"uid": "d1"}]}
    container = {
        "name": "engine",
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health"}},
    }
    spec = {"containers": [container], **({"nodeName": node} if node else {})}
    status: dict[str, Any] = {"containerStatuses": [{"state": {state: {}}} for state in states]} if states else {}
    return {"metadata": metadata, "spec": spec, "status": {**status, **({"podIP": ip} if ip else {})}}


def deployment(phase: str | None) -> Object:
    return {"metadata": {"name": "smol"}, "spec": {}, **({"status": {"phase": phase}} if phase else {})}


def test_berths_share_leaves_out_container_start_and_engine() -> None:
    share = berth_share(StartPair(BERTH_RUN, HAND_RUN))
    assert share.before_start == pytest.approx(0.06)
    assert share.after_ready == pytest.approx(0.09 - 0.04)
    assert share.whole == pytest.approx(0.11)


def test_a_slower_engine_or_container_is_not_berths() -> None:
    slow_container = {step: at + (5 if at >= 10.6 else 0) for step, at in BERTH_RUN.items()}
    assert berth_share(StartPair(slow_container, HAND_RUN)).whole == pytest.approx(0.11)
    slow_engine = StartPair({**BERTH_RUN, Step.FIRST_TOKEN: 12.29}, {**HAND_RUN, Step.FIRST_TOKEN: 22.14})
    assert berth_share(slow_engine).whole == pytest.approx(0.11)


def test_every_step_is_counted_once() -> None:
    steps = since_previous(BERTH_RUN, BERTH_STEPS)
    assert steps[Step.CONTAINER_STARTED] == pytest.approx(0.54)
    assert sum(steps.values()) == pytest.approx(whole(BERTH_RUN)) == pytest.approx(1.29)


def test_a_step_is_when_it_was_first_seen() -> None:
    ours = {LABEL_DEPLOYMENT: "smol"}
    sightings = [
        Sighting(0.5, PODS, pod({}, "node", "10.0.0.9", "running")),
        Sighting(1.0, MODEL_DEPLOYMENTS, deployment(None)),
        Sighting(1.5, PODS, pod(ours)),
        Sighting(2.0, PODS, pod(ours, "node")),
        Sighting(2.5, PODS, pod(ours, "node", "10.0.0.3", "waiting")),
        Sighting(3.0, MODEL_DEPLOYMENTS, deployment("Starting")),
        Sighting(3.5, PODS, pod(ours, "node", None, "running")),
        Sighting(4.0, PODS, pod(ours, "node", "10.0.0.3", "running")),
        Sighting(4.5, PODS, pod(ours, "node", "10.0.0.3", "running")),
        Sighting(5.0, MODEL_DEPLOYMENTS, deployment("Ready")),
    ]
    assert moments_in_cluster(sightings, is_engine=is_berths) == {
        Step.RESOURCE_CREATED: 1.0,
        Step.POD_CREATED: 1.5,
        Step.POD_SCHEDULED: 2.0,
        Step.CONTAINER_STARTED: 4.0,
        Step.READY_SEEN: 5.0,
    }


@pytest.mark.parametrize(("percent", "expected"), [(50, 3.0), (90, 4.6), (25, 2.0)])
def test_percentiles_are_interpolated(percent: int, expected: float) -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == pytest.approx(expected)


def test_one_value_is_every_percentile() -> None:
    assert (percentile([7.0], 50), percentile([7.0], 90)) == (7.0, 7.0)


def test_the_pod_by_hand_is_the_same_pod_without_berth() -> None:
    made = pod({LABEL_DEPLOYMENT: "smol"}, "node", "10.0.0.3", "running")
    manifest = copy_without_berth(made)
    assert manifest["spec"]["containers"] == made["spec"]["containers"]
    assert "nodeName" not in manifest["spec"]
    assert list(manifest["metadata"]) == ["name"]
    assert (is_berths(manifest), is_by_hand(manifest)) == (False, True)
    assert "status" not in manifest
    assert made["spec"]["nodeName"] == "node"


def test_the_engine_is_asked_where_the_kubelet_asks_it() -> None:
    assert health_url(pod(None, "node", "10.0.0.3")) == "http://10.0.0.3:8000/health"
    assert engine_url(pod(None, "node", "fd00::3")) == "http://[fd00::3]:8000"
