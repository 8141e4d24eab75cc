"""What was observed in, what is done and said out: the operator's behaviour, without a cluster and without a clock.

How engines are kept that are ready is in `test_serving.py`, and when they are idle in `test_idle.py`; the words of each
status are in `test_status.py`.
"""

from typing import Any

import pytest

from tests.unit.operator.building import answering, at, deployment, ended_pod, failure, loaded, pod, running_pod
from tests.unit.operator.cases import Case

IMAGE_MISSING = {
    "phase": "Pending",
    "containerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": "ErrImagePull"}}}],
}


def unschedulable(seconds_ago: float) -> dict[str, Any]:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    return {"phase": "Pending", "conditions": [{**said, "lastTransitionTime": at(-seconds_ago)}]}


TAKEN_AWAY = [{"type": "Ready", "status": "False", "reason": "Evicted", "message": "", "lastTransitionTime": at(-90)}]
TOO_LONG = "n" * 64

CASES = [
    Case("a new deployment gets its pod", deployment(), [], ["create smol-1", "status"], "Starting", wake_in=1800),
    Case("a deployment that is being deleted is left alone", deployment(deletionTimestamp=at(-1)), [], [], None),
    Case("a pod without a node is waited for", deployment(), [pod(node=None)], ["status"], "Starting", wake_in=1800),
    Case(
        "once there is none for it, it is looked at again after the grace",
        deployment(),
        [pod(node=None, status=unschedulable(2))],
        ["status"],
        "Starting",
        wake_in=3,
    ),
    Case(
        "and then that is reported",
        deployment(),
        [pod(node=None, status=unschedulable(5))],
        ["status"],
        "Stalled",
        wake_in=1800,
        reason="Unschedulable",
    ),
    Case(
        "but where its predecessor was taken away, whose room or whose node comes back, only after a minute",
        deployment(status={"attempt": 2, "conditions": TAKEN_AWAY}),
        [pod(2, node=None, status=unschedulable(50))],
        ["status"],
        "Starting",
        attempt=2,
        wake_in=10,
    ),
    Case(
        "and not as long as the predecessor still answers, which may take minutes",
        deployment(status={"attempt": 2, "conditions": TAKEN_AWAY}),
        [running_pod(1, deletionTimestamp=at(200)), pod(2, node=None, status=unschedulable(90))],
        ["status"],
        "Starting",
        attempt=2,
        wake_in=260,
    ),
    Case(
        "a minute after that it is reported all the same",
        deployment(status={"attempt": 2, "conditions": TAKEN_AWAY}),
        [pod(2, node=None, status=unschedulable(90))],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=1800,
        reason="Unschedulable",
    ),
    Case(
        "a predecessor that should be gone and is not, as on a dead node, holds nobody up",
        deployment(status={"attempt": 2, "conditions": TAKEN_AWAY}),
        [running_pod(1, deletionTimestamp=at(-61)), pod(2, node=None, status=unschedulable(90))],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=1800,
        reason="Unschedulable",
    ),
    Case("a pod on its way is waited for", deployment(), [running_pod()], ["status"], "Starting", wake_in=1800),
    Case(
        "an engine that answers is ready", deployment(), [running_pod()], ["status"], "Ready", answering(), wake_in=300
    ),
    Case(
        "another pod's answer does not count",
        deployment(),
        [running_pod()],
        ["status"],
        "Starting",
        answering(pod="x"),
        wake_in=1800,
    ),
    Case(
        "what an earlier attempt left is deleted",
        deployment(status={"attempt": 2}),
        [running_pod(1), running_pod(2)],
        ["status", "delete smol-1"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
    Case(
        "but not the one that a round made for the next attempt which did not live to write so",
        deployment(status=loaded(100)),
        [ended_pod(1), pod(2, uid="another")],
        ["create smol-2", "status", "delete smol-1 in 1 s"],
        "Pending",
        attempt=2,
        wake_in=0,
        reason="EngineExited",
    ),
    Case(
        "the pod of an earlier version of Berth, whose name lacks the uid, is the same one",
        deployment(),
        [running_pod(name="smol-1")],
        ["status"],
        "Starting",
        wake_in=1800,
    ),
    Case(
        "a name that cannot be a label is reported",
        deployment(name=TOO_LONG),
        [],
        ["status"],
        "Stalled",
        reason="NameTooLong",
    ),
    # Failures
    Case(
        "a start that failed waits",
        deployment(),
        [ended_pod()],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        attempt=2,
        wake_in=10,
    ),
    Case(
        "each further failure waits twice as long",
        deployment(status={"attempt": 4, "lastFailure": failure(-30, count=3, retry=-1)}),
        [ended_pod(4)],
        ["status", "delete smol-4 in 1 s"],
        "Stalled",
        attempt=5,
        wake_in=80,
    ),
    Case(
        "but not for ever",
        deployment(status={"attempt": 400, "lastFailure": failure(-30, count=400, retry=-1)}),
        [ended_pod(400)],
        ["status", "delete smol-400 in 1 s"],
        "Stalled",
        attempt=401,
        wake_in=300,
    ),
    Case(
        "what merely blocked an earlier start is no failure",
        deployment(status={"attempt": 4, "lastFailure": failure(-30, count=3)}),
        [ended_pod(4)],
        ["status", "delete smol-4 in 1 s"],
        "Stalled",
        attempt=5,
        wake_in=10,
    ),
    Case(
        "an engine that served is replaced at once",
        deployment(status=loaded(100)),
        [ended_pod()],
        ["create smol-2", "status", "delete smol-1 in 1 s"],
        "Pending",
        attempt=2,
        wake_in=0,
        reason="EngineExited",
    ),
    Case(
        "unless it keeps dying",
        deployment(status=loaded(5, lastFailure=failure(-20, retry=-20))),
        [ended_pod()],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        attempt=2,
        wake_in=20,
    ),
    Case(
        "the wait after a failure is kept",
        deployment(status={"attempt": 2, "lastFailure": failure(-3, retry=7)}),
        [],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=7,
    ),
    Case(
        "and ends",
        deployment(status={"attempt": 2, "lastFailure": failure(-10, retry=0)}),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
    Case(
        "what a router made is not tried again for nobody",
        deployment(
            {"idle": {"ttlSeconds": 2000, "action": "Delete"}},
            status={"attempt": 2, "lastFailure": failure(-10, retry=0)},
        ),
        [],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=1000,
    ),
    Case(
        "but for a request that waits for it",
        deployment(
            {"idle": {"ttlSeconds": 2000, "action": "Delete"}},
            status={
                "attempt": 2,
                "lastFailure": failure(-90, retry=-80),
                "activity": {"r1": {"lastActivity": at(0), "keepUntil": at(2000), "leaseUntil": at(60)}},
            },
        ),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
    Case(
        "or at once, when something else is to be tried",
        deployment(status={"attempt": 2, "lastFailure": {**failure(-3, retry=7), "madeFrom": "something else"}}),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
    Case(
        "a failure of which nobody knows what was tried is not another one",
        deployment(
            status={"attempt": 4, "lastFailure": {**failure(-30, count=2, retry=-1), "madeFrom": "something else"}}
        ),
        [pod(4, status={"phase": "Failed", "reason": "NodeAffinity"}, annotations={"berth.dev/made-from": ""})],
        ["status", "delete smol-4 in 1 s"],
        "Stalled",
        attempt=5,
        wake_in=10,
        reason="NodeAffinity",
    ),
    Case(
        "what is left of a pod that failed is not waited for",
        deployment(
            status={
                "attempt": 2,
                "lastFailure": failure(-3, retry=7),
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "EngineExited", "lastTransitionTime": at(-3)}
                ],
            }
        ),
        [running_pod(1)],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        attempt=2,
        wake_in=7,
    ),
    Case(
        "a missing image is reported, the pod is kept",
        deployment(),
        [pod(status=IMAGE_MISSING)],
        ["status"],
        "Stalled",
        wake_in=1800,
    ),
    Case(
        "a start that takes too long has failed",
        deployment(status={"startRequestedAt": at(-1801)}),
        [running_pod()],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        attempt=2,
        wake_in=10,
        reason="StartDeadlineExceeded",
    ),
    Case(
        "whatever holds it up",
        deployment(status={"startRequestedAt": at(-1801), "phase": "Stalled", "lastFailure": failure(-1700)}),
        [pod(status=IMAGE_MISSING)],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        attempt=2,
        wake_in=10,
        reason="StartDeadlineExceeded",
    ),
    Case(
        "an engine without an image is reported",
        deployment({"backend": "vllm"}),
        [],
        ["status"],
        "Stalled",
        reason="EngineUnavailable",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    case.check()
