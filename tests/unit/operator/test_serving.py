"""How engines are kept that are ready: they are watched, and replaced when they hang.

When they are replaced though they answer is in `test_replacing.py`.
"""

from dataclasses import replace
from typing import Any

import pytest

from berth_cluster.cluster import CONTEXT_ANNOTATION
from berth_operator.engines.context import EngineContext
from tests.unit.operator.building import (
    answering,
    at,
    deployment,
    failure,
    lease,
    loaded,
    pod,
    running,
    running_pod,
    silent,
)
from tests.unit.operator.cases import Case
from tests.unit.operator.test_idle import DELETE_WHEN_IDLE

NOT_ANSWERING = {
    "type": "Ready",
    "status": "False",
    "reason": "EngineNotAnswering",
    "message": "it was silent; new requests wait",
    "lastTransitionTime": at(-3),
}
UNRESPONSIVE = loaded(100, phase="Unresponsive", conditions=[NOT_ANSWERING])


def not_ready(seconds: float, containers_ready: str = "False") -> dict[str, Any]:
    return running("False", -seconds, containers_ready)


CASES = [
    Case(
        "an engine long ready, which a new operator has not probed, stays ready",
        deployment(status=loaded(7200, activity={"r": lease(90)})),
        [running_pod()],
        ["status"],
        "Ready",
        wake_in=15,
    ),
    Case(
        "an engine that says how much context it has",
        deployment({"llamacpp": {"contextSize": "auto"}}, loaded(100)),
        [running_pod(made_of=deployment({"llamacpp": {"contextSize": "auto"}}))],
        ["status"],
        "Ready",
        replace(answering(), context=EngineContext(4096, 8192)),
        wake_in=200,
    ),
    Case(
        "one that has less than its spec states says why",
        deployment({"llamacpp": {"contextSize": 16_384}}, loaded(100)),
        [
            running_pod(
                made_of=deployment({"llamacpp": {"contextSize": 16_384}}), annotations={CONTEXT_ANNOTATION: "8192"}
            )
        ],
        ["status"],
        "Ready",
        wake_in=15,
    ),
    Case(
        "it is looked at again when it should have answered",
        deployment(status=loaded(7200, activity={"r": lease(90)})),
        [running_pod()],
        ["status"],
        "Ready",
        silent(2, heard=False),
        wake_in=13,
    ),
    Case(
        "a question that was not answered",
        deployment(status=loaded(100)),
        [running_pod()],
        ["status"],
        "Ready",
        silent(14),
        wake_in=1,
    ),
    Case(
        "an engine that has not answered for 15 s gets no new requests",
        deployment(status=loaded(100)),
        [running_pod()],
        ["status"],
        "Unresponsive",
        silent(15),
        wake_in=45,
        reason="EngineNotAnswering",
    ),
    Case(
        "nor has one that gave a new operator no answer for so long",
        deployment(status=loaded(100)),
        [running_pod()],
        ["status"],
        "Unresponsive",
        silent(15, heard=False),
        wake_in=45,
    ),
    Case(
        "the kubelet's word counts too, after as long",
        deployment(status=loaded(100)),
        [pod(status=not_ready(15))],
        ["status"],
        "Unresponsive",
        answering(),
        wake_in=200,
    ),
    Case(
        "not sooner",
        deployment(status=loaded(100)),
        [pod(status=not_ready(9))],
        ["status"],
        "Ready",
        answering(),
        wake_in=6,
    ),
    Case(
        "and not what it said before the engine was ready",
        deployment(status=loaded(4)),
        [pod(status=not_ready(600))],
        ["status"],
        "Ready",
        answering(),
        wake_in=11,
    ),
    Case(
        "one that answers again is ready again",
        deployment(status=UNRESPONSIVE),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=200,
    ),
    Case(
        "an operator that has just come believes the one before it until the engine has answered it",
        deployment(status=UNRESPONSIVE),
        [running_pod()],
        ["status"],
        "Unresponsive",
        wake_in=200,
    ),
    Case(
        "an engine that hangs is replaced at once",
        deployment(status=UNRESPONSIVE),
        [pod(status=not_ready(40))],
        ["status", "create smol-2", "delete smol-1 in 1 s"],
        "Pending",
        silent(60),
        attempt=2,
        wake_in=0,
        reason="EngineHung",
    ),
    Case(
        "on one machine without a kubelet's word",
        deployment(status=UNRESPONSIVE),
        [running_pod()],
        ["status", "create smol-2", "delete smol-1 in 1 s"],
        "Pending",
        silent(60),
        attempt=2,
        wake_in=0,
        reason="EngineHung",
    ),
    Case(
        "but not while the kubelet gets answers",
        deployment(status=UNRESPONSIVE),
        [pod(status=running("True", -90))],
        ["status"],
        "Unresponsive",
        silent(600),
        wake_in=200,
    ),
    Case(
        "one that hangs again has to wait",
        deployment(status={**UNRESPONSIVE, "lastFailure": failure(-130, retry=-130)}),
        [running_pod()],
        ["status", "delete smol-1 in 1 s"],
        "Stalled",
        silent(60),
        attempt=2,
        wake_in=20,
        reason="EngineHung",
    ),
    Case(
        "a node that is gone is reported as that",
        deployment(status=UNRESPONSIVE),
        [pod(status=not_ready(10, containers_ready="True"))],
        ["status", "create smol-2", "delete smol-1 in 1 s"],
        "Pending",
        silent(60),
        attempt=2,
        wake_in=0,
        reason="NodeLost",
    ),
    Case(
        "who is idle goes, whether it answers or not",
        deployment(DELETE_WHEN_IDLE, loaded(60)),
        [running_pod()],
        ["delete deployment", "delete smol-1 in 1 s"],
        None,
        silent(20),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    case.check()
