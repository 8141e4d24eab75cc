"""The job controller's decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from berth_local.node.jobs import make_job_plan

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
POLICY = {
    "rules": [{"action": "FailJob", "onExitCodes": {"containerName": "download", "operator": "In", "values": [3]}}]
}


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "download"}]}}
    return {
        "metadata": {"name": "get", "uid": "12345678"},
        "spec": {"backoffLimit": 2, "template": template, **spec},
        "status": status or {},
    }


def ended(code: int, seconds_ago: float) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "finishedAt": at(-seconds_ago)}}
    phase = "Failed" if code else "Succeeded"
    return {"metadata": {"name": "get-12345-1"}, "status": {"phase": phase, "containerStatuses": [{"state": state}]}}


RUNNING: dict[str, Any] = {"metadata": {"name": "get-12345-1"}, "status": {"phase": "Running"}}


def test_the_first_pod_is_made_from_the_template() -> None:
    plan = make_job_plan(job(), [], NOW)
    assert plan.create
    assert plan.create["metadata"]["name"] == "get-12345-1"
    assert plan.create["metadata"]["labels"] == {"a": "b", "batch.kubernetes.io/job-name": "get"}
    assert plan.create["metadata"]["ownerReferences"][0]["uid"] == "12345678"
    assert plan.create["spec"] == {"containers": [{"name": "download"}]}


@pytest.mark.parametrize(
    ("case", "pods", "spec", "expected"),
    [
        ("one runs", [RUNNING], {}, {"active": 1}),
        ("one has succeeded", [ended(1, 9), ended(0, 1)], {}, {"succeeded": 1, "failed": 1, "condition": "Complete"}),
        ("one has failed just now", [ended(1, 0.5)], {}, {"failed": 1, "wake_in": 0.5}),
        ("one has failed a while ago", [ended(1, 1)], {}, {"failed": 1, "active": 1, "creates": True}),
        ("the second wait is longer", [ended(1, 9), ended(1, 1.5)], {}, {"failed": 2, "wake_in": 0.5}),
        (
            "all tries are used up",
            [ended(1, 9)] * 3,
            {},
            {"failed": 3, "condition": "Failed", "reason": "BackoffLimitExceeded"},
        ),
        (
            "it is hopeless",
            [ended(3, 9)],
            {"podFailurePolicy": POLICY},
            {"failed": 1, "condition": "Failed", "reason": "PodFailurePolicy"},
        ),
        ("another code is not", [ended(4, 9)], {"podFailurePolicy": POLICY}, {"failed": 1, "creates": True}),
        (
            "it takes too long",
            [RUNNING],
            {"activeDeadlineSeconds": 0},
            {"condition": "Failed", "reason": "DeadlineExceeded"},
        ),
    ],
)
def test_cases(case: str, pods: list[dict[str, Any]], spec: dict[str, Any], expected: dict[str, Any]) -> None:
    plan = make_job_plan(job(**spec), pods, NOW)
    (condition,) = plan.status.get("conditions") or [dict[str, Any]()]
    told: dict[str, Any] = {
        **{key: plan.status[key] for key in ("active", "succeeded", "failed")},
        "condition": condition.get("type"),
        "reason": condition.get("reason"),
        "creates": plan.create is not None,
        "wake_in": (plan.wake_at - NOW).total_seconds() if plan.wake_at else None,
    }
    assert told.items() >= expected.items(), case


@pytest.mark.parametrize(("ttl", "seconds_ago", "deletes"), [(None, 9999, False), (10, 9, False), (10, 10, True)])
def test_a_job_that_is_over_stays_as_long_as_it_says(ttl: int | None, seconds_ago: float, deletes: bool) -> None:
    over = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at(-seconds_ago)}]}
    plan = make_job_plan(job(over, **({} if ttl is None else {"ttlSecondsAfterFinished": ttl})), [], NOW)
    assert (plan.delete, plan.create, plan.status) == (deletes, None, over)
