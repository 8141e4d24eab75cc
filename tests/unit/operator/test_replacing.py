"""When an engine is replaced that is ready: somebody took its pod away, or its spec or its image has changed."""

from typing import Any

import pytest

from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import answering, at, deployment, failure, lease, loaded, pod, running_pod, silent
from tests.unit.operator.cases import Case
from tests.unit.operator.test_idle import DELETE_WHEN_IDLE
from tests.unit.operator.test_serving import UNRESPONSIVE

READY_LONG = {"type": "Ready", "status": "True", "reason": "EngineReady", "message": "", "lastTransitionTime": at(-100)}


def evict(reason: str) -> dict[str, Any]:
    """What a kubelet says of a pod that it ended for the node's sake."""
    killed = [{"name": "engine", "state": {"terminated": {"exitCode": 137, "message": "llama: ready\nllama: slot 1"}}}]
    return {"phase": "Failed", "reason": reason, "message": "the node needs it", "containerStatuses": killed}


TAKEN_AWAY = [
    Case(
        "a deleted pod is followed by another at once, beside it",
        deployment(status=loaded(100)),
        [running_pod(deletionTimestamp=at(-1))],
        ["create smol-2", "status"],
        "Pending",
        answering(),
        attempt=2,
        wake_in=0,
        reason="PodDeleted",
    ),
    Case(
        "and so is one that vanished",
        deployment(status=loaded(100)),
        [],
        ["create smol-2", "status"],
        "Pending",
        attempt=2,
        wake_in=0,
        reason="PodDeleted",
    ),
    *(
        Case(
            f"and one that the node ended: {reason}",
            deployment(status=loaded(100)),
            [pod(status=evict(reason))],
            ["create smol-2", "status", "delete smol-1"],
            "Pending",
            attempt=2,
            wake_in=0,
            reason=reason,
        )
        for reason in ("Evicted", "Preempting", "Terminated", "NodeShutdown")
    ),
    Case(
        "one that nobody uses is not followed",
        deployment(DELETE_WHEN_IDLE, loaded(60)),
        [running_pod(deletionTimestamp=at(-1))],
        ["delete deployment", "delete smol-1 in 30 s"],
        None,
    ),
    Case(
        "whoever deletes each new pod is answered with one in ten seconds",
        deployment(status=loaded(4)),
        [running_pod(deletionTimestamp=at(-1))],
        ["status"],
        "Pending",
        wake_in=6,
        reason="PodDeleted",
    ),
    Case(
        "also when it is gone", deployment(status=loaded(4)), [], ["status"], "Pending", wake_in=6, reason="PodDeleted"
    ),
    Case(
        "what follows a pod that was taken away says so until it is ready",
        deployment(
            status={
                "attempt": 2,
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "PodDeleted", "lastTransitionTime": at(-3)}
                ],
            }
        ),
        [running_pod(2)],
        ["status"],
        "Starting",
        attempt=2,
        wake_in=1800,
        reason="PodDeleted",
    ),
    Case(
        "it is no failure, and an earlier one stays on record",
        deployment(status=loaded(30, lastFailure=failure(-40, count=2, retry=-40))),
        [running_pod(deletionTimestamp=at(-1))],
        ["create smol-2", "status"],
        "Pending",
        attempt=2,
        wake_in=0,
        reason="PodDeleted",
    ),
]

TAKEN_AWAY_FROM_USERS = [case for case in TAKEN_AWAY if case.phase]

OTHER_NODE = {"nodeSelector": {"zone": "b"}}
OTHER_IMAGE = OperatorSettings.model_validate({"engines": {"llamacpp": {"cpu": {"image": "berth/llamacpp:2"}}}})
NO_IMAGE = OperatorSettings.model_validate({"engines": {"vllm": {"cpu": {"image": "berth/vllm:1"}}}})
BERTHS_OWN = {"env": [{"name": "BERTH_ENGINE_KEY", "value": "x"}]}
IN_USE = {"r": {**lease(30, 1), "leaseUntil": at(25)}}
UNUSED = {"r": lease(200)}
NOWHERE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": at(-60)}
    ],
}

CHANGED = [
    Case(
        "a changed spec waits until nobody uses the engine",
        deployment(OTHER_NODE, loaded(100, activity=IN_USE, conditions=[READY_LONG]), generation=4),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=25,
    ),
    Case(
        "then it goes, and answers under way are made to their end",
        deployment(OTHER_NODE, loaded(100, activity=UNUSED, conditions=[READY_LONG]), generation=4),
        [running_pod()],
        ["status", "create smol-2", "delete smol-1"],
        "Pending",
        answering(),
        attempt=2,
        wake_in=0,
        reason="SpecChanged",
    ),
    Case(
        "a changed image likewise",
        deployment(status=loaded(100, activity=UNUSED, conditions=[READY_LONG])),
        [running_pod()],
        ["status", "create smol-2", "delete smol-1"],
        "Pending",
        answering(),
        attempt=2,
        wake_in=0,
        reason="ImageChanged",
        settings=OTHER_IMAGE,
    ),
    Case(
        "those who waited for it come first",
        deployment(OTHER_NODE, loaded(2, activity=UNUSED, conditions=[{**READY_LONG, "lastTransitionTime": at(-2)}])),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=3,
    ),
    Case(
        "one that gives no answer is left to that",
        deployment(OTHER_NODE, UNRESPONSIVE),
        [running_pod()],
        ["status"],
        "Unresponsive",
        silent(20),
        wake_in=40,
    ),
    Case(
        "one that starts is let start",
        deployment(OTHER_NODE),
        [running_pod()],
        ["status"],
        "Starting",
        wake_in=1800,
    ),
    Case(
        "one that cannot start is not waited for",
        deployment(OTHER_NODE, {"phase": "Stalled", "lastFailure": failure(-50), "startRequestedAt": at(-60)}),
        [pod(node=None, status=NOWHERE)],
        ["status", "create smol-2", "delete smol-1 in 1 s"],
        "Pending",
        attempt=2,
        wake_in=0,
        reason="SpecChanged",
    ),
    Case(
        "an engine of which there is no image any more goes on serving",
        deployment(status=loaded(100, conditions=[READY_LONG])),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=200,
        settings=NO_IMAGE,
    ),
    Case(
        "an engine whose changed spec takes what is Berth's own goes on serving",
        deployment({"pod": BERTHS_OWN}, loaded(100, conditions=[READY_LONG]), generation=4),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=200,
    ),
    Case(
        "a pod of another version of Berth is replaced like one of another spec",
        deployment(status=loaded(100, activity=UNUSED, conditions=[READY_LONG])),
        [running_pod(annotations={"berth.dev/made-from": ""})],
        ["status", "create smol-2", "delete smol-1"],
        "Pending",
        answering(),
        attempt=2,
        wake_in=0,
        reason="SpecChanged",
    ),
]

CASES = [*TAKEN_AWAY, *CHANGED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    case.check()
