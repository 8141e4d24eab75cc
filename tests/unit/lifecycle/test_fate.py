"""Why an engine ended, from what the operator reports."""

from datetime import UTC, datetime
from typing import Any

import pytest

from berth_api.model_deployment import ModelDeployment
from berth_router.lifecycle.deployments import fate_between

FAILURE = {"reason": "OOMKilled", "message": "too large", "at": "2026-01-02T12:00:00Z", "count": 1}


def seen(uid: str = "1", ready: tuple[str, str] | None = ("True", "EngineReady"), **status: Any) -> ModelDeployment:
    conditions = [{"type": "Ready", "status": ready[0], "reason": ready[1], "message": "as said"}] if ready else []
    created = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
    return ModelDeployment.parse(
        {
            "metadata": {"name": "a", "uid": uid, "resourceVersion": "1", "creationTimestamp": created},
            "spec": {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu"},
            "status": {"phase": "Ready", "podName": "a-1", "conditions": conditions, **status},
        }
    )


@pytest.mark.parametrize(
    ("case", "now", "planned"),
    [
        ("nothing is said yet", seen(), None),
        ("it was deleted", None, True),
        ("and made anew", seen(uid="2"), True),
        ("the engine failed", seen(phase="Stalled", lastFailure=FAILURE, ready=("False", "OOMKilled")), False),
        ("it failed, and the next one starts", seen(phase="Starting", lastFailure=FAILURE, podName="a-2"), False),
        ("somebody took the pod", seen(phase="Starting", ready=("False", "PodDeleted")), True),
        ("the node is emptied", seen(phase="Starting", ready=("False", "Evicted"), podName="a-2"), True),
        ("the spec has changed", seen(phase="Starting", ready=("False", "SpecChanged"), podName="a-2"), True),
        ("it gives no answer", seen(phase="Unresponsive", ready=("False", "EngineNotAnswering")), None),
        ("it went to sleep", seen(phase="Sleeping", podName=None, ready=("True", "Idle")), True),
    ],
)
def test_the_fate_of_an_engine(case: str, now: ModelDeployment | None, planned: bool | None) -> None:
    fate = fate_between(seen(), now)
    assert (fate.planned if fate else None) is planned, case


def test_what_became_of_an_engine_is_said_of_it_and_not_of_the_next_one() -> None:
    fate = fate_between(seen(), seen(phase="Starting", ready=("False", "PodDeleted"), podName="a-2"))
    assert fate
    assert fate.text == "PodDeleted: its pod was deleted"
