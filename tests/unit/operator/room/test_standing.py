"""What the keeper of room reads from a pod."""

from typing import Any

import pytest

from berth_operator.engines import ENGINES
from berth_operator.resources import make_pod
from berth_operator.room.standing import StandingPod
from berth_operator.settings import EngineImage
from tests.unit.operator.building import NOW, POD_UID, SETTINGS, deployment

UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "lastTransitionTime": "2026-01-01",
}


PODS: dict[str, tuple[str | None, dict[str, Any], bool]] = {
    "no image": ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, True),
    "no container": ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerError"}}}]}, True),
    "being created": ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, False),
    "runs": ("one", {"containerStatuses": [{"state": {"running": {}}}]}, False),
    "just scheduled": ("one", {}, False),
    "no node": (None, {"conditions": [UNSCHEDULABLE]}, False),
}
"""Node, status, and whether its engine is hindered."""


@pytest.mark.parametrize(("node", "status", "hindered"), PODS.values(), ids=PODS)
def test_a_pod_whose_engine_cannot_run_holds_up_no_other_start(
    node: str | None, status: dict[str, Any], hindered: bool
) -> None:
    of = deployment()
    pod = make_pod(of, ENGINES[of.spec.backend], EngineImage(image="engine:1"), SETTINGS)
    pod["metadata"]["uid"] = POD_UID
    seen = StandingPod.of({**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}, {}, NOW)
    assert seen.hindered is hindered
