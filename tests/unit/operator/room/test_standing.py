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


@pytest.mark.parametrize(
    ("node", "status", "hindered"),
    [
        ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, True),
        ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "CreateContainerError"}}}]}, True),
        ("one", {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, False),
        ("one", {"containerStatuses": [{"state": {"running": {}}}]}, False),
        ("one", {}, False),
        (None, {"conditions": [UNSCHEDULABLE]}, False),
    ],
    ids=["no image", "no container", "being created", "runs", "just scheduled", "no node"],
)
def test_a_pod_whose_engine_cannot_run_holds_up_no_other_start(
    node: str | None, status: dict[str, Any], hindered: bool
) -> None:
    of = deployment()
    pod = make_pod(of, ENGINES[of.spec.backend], EngineImage(image="engine:1"), SETTINGS)
    pod["metadata"]["uid"] = POD_UID
    seen = StandingPod.of({**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}, {}, NOW)
    assert seen.hindered is hindered
