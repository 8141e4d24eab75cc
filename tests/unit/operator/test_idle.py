"""When a deployment is idle, and goes or falls asleep; what keeps it, and what wakes it."""

from typing import Any

import pytest

from tests.unit.operator.building import answering, at, deployment, failure, lease, loaded, running_pod
from tests.unit.operator.cases import Case

DELETE_WHEN_IDLE = {"idle": {"ttlSeconds": 60, "action": "Delete"}}
NO_POD: dict[str, Any] = {"podName": None, "startSteps": [], "startRequestedAt": None}
SLEEP_WHEN_IDLE = {"idle": {"ttlSeconds": 60, "action": "Sleep"}}

START_ASLEEP = {"idle": {"ttlSeconds": 60, "startAsleep": True}}

CASES = [
    Case(
        "a declared one that starts asleep starts no pod",
        deployment(START_ASLEEP),
        [],
        ["status"],
        "Sleeping",
        reason="NotAskedYet",
    ),
    Case(
        "but does not say that a request would start what can have no engine",
        deployment({**START_ASLEEP, "backend": "vllm"}),
        [],
        ["status"],
        "Stalled",
        reason="EngineUnavailable",
    ),
    Case(
        "but starts when a request waits for it",
        deployment(START_ASLEEP, {"phase": "Sleeping", "activity": {"r": lease(30, 1)}}),
        [],
        ["create smol-1", "status"],
        "Starting",
        wake_in=1800,
        reason="Starting",
    ),
    Case(
        "and sleeps on when the request has gone before there was a pod",
        deployment(START_ASLEEP, {"phase": "Pending", "activity": {"r": lease(-1)}}),
        [],
        ["status"],
        "Sleeping",
        reason="NotAskedYet",
    ),
    Case(
        "a start that nobody waits for any more goes on",
        deployment(START_ASLEEP, {"phase": "Starting", "startRequestedAt": at(0), "activity": {"r": lease(-1)}}),
        [running_pod()],
        ["status"],
        "Starting",
        wake_in=1800,
    ),
    Case(
        "one whose start failed sleeps when nobody asks any more, and still says why",
        deployment(START_ASLEEP, {"phase": "Stalled", "attempt": 2, "lastFailure": failure(-90, retry=-80)}),
        [],
        ["status"],
        "Sleeping",
        attempt=2,
        reason="EngineExited",
    ),
    Case(
        "and is tried again with the next request",
        deployment(
            START_ASLEEP,
            {
                "phase": "Sleeping",
                "attempt": 2,
                "lastFailure": failure(-90, retry=-80),
                "activity": {"r": lease(30, 1)},
            },
        ),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
    Case(
        "but not before its wait is over",
        deployment(
            START_ASLEEP,
            {"phase": "Sleeping", "attempt": 2, "lastFailure": failure(-5, retry=5), "activity": {"r": lease(30, 1)}},
        ),
        [],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=5,
        reason="EngineExited",
    ),
    Case(
        "a failure of another spec is none of this one",
        deployment(
            START_ASLEEP,
            {
                "phase": "Sleeping",
                "attempt": 2,
                "lastFailure": {**failure(-90, retry=-80), "madeFrom": "of another spec"},
            },
        ),
        [],
        ["status"],
        "Sleeping",
        attempt=2,
        reason="NotAskedYet",
    ),
    Case(
        "one that was loaded is idle by its TTL, as any other",
        deployment(START_ASLEEP, loaded(59)),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=1,
    ),
    Case(
        "a router's deployment that cannot start goes when its TTL has passed",
        deployment(DELETE_WHEN_IDLE, {"attempt": 2, "lastFailure": failure(-3, retry=7)}),
        [],
        ["delete deployment"],
        None,
        attempt=2,
    ),
    Case(
        "but not while somebody asks for it",
        deployment(DELETE_WHEN_IDLE, {"attempt": 2, "lastFailure": failure(-3, retry=7), "activity": {"r": lease(3)}}),
        [],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=3,
    ),
    Case(
        "ready and used",
        deployment(DELETE_WHEN_IDLE, loaded(59)),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=1,
    ),
    Case(
        "idle for its TTL",
        deployment(DELETE_WHEN_IDLE, loaded(60)),
        [running_pod()],
        ["delete deployment", "delete smol-1 in 30 s"],
        "Ready",
        answering(),
    ),
    Case(
        "a lease keeps it",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": lease(-9), "b": lease(25, 1)})),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
        wake_in=25,
    ),
    Case(
        "a lease that ended does not",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": lease(-9, 3)})),
        [running_pod()],
        ["delete deployment", "delete smol-1 in 30 s"],
        "Ready",
        answering(),
    ),
    Case(
        "a TTL of 0 is never",
        deployment({"idle": {"ttlSeconds": 0, "action": "Delete"}}, loaded(10_000)),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
    ),
    Case(
        "a lease for ever is for ever",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": {**lease(0), "keepUntil": "9999-12-31T00:00:00Z"}})),
        [running_pod()],
        ["status"],
        "Ready",
        answering(),
    ),
    Case(
        "a starting pod is never idle",
        deployment(DELETE_WHEN_IDLE, {"startRequestedAt": at(-500)}),
        [running_pod()],
        ["status"],
        "Starting",
        wake_in=1300,
    ),
    Case(
        "a person's deployment goes to sleep: first the status, then the pod",
        deployment(SLEEP_WHEN_IDLE, loaded(60)),
        [running_pod()],
        ["status", "delete smol-1 in 30 s"],
        "Sleeping",
        answering(),
        attempt=2,
    ),
    Case(
        "asleep it has no pod",
        deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping", **NO_POD)),
        [],
        ["status"],
        "Sleeping",
        attempt=2,
    ),
    Case(
        "what is left of the pod goes too",
        deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping", **NO_POD)),
        [running_pod(1)],
        ["status", "delete smol-1 in 30 s"],
        "Sleeping",
        attempt=2,
    ),
    Case(
        "a lease wakes it",
        deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping", **NO_POD, activity={"r": lease(30, 1)})),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    case.check()
