"""What was observed in, what is done and said out: the operator's whole behaviour, without a cluster and without a clock."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from berth_api.cluster import MEMORY_ANNOTATION, Object, Preconditions
from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_operator.plan import CreatePod, DeleteDeployment, DeletePod, Observed, Plan, WriteStatus, make_plan, pod_refused
from tests.unit.operator.building import (
    NOW,
    POD_UID,
    SETTINGS,
    UID,
    at,
    deployment,
    ended_pod,
    failure,
    lease,
    loaded,
    not_ready_since,
    pod,
    running_pod,
)

DELETE_WHEN_IDLE = {"idle": {"ttlSeconds": 60, "action": "Delete"}}
SLEEP_WHEN_IDLE = {"idle": {"ttlSeconds": 60, "action": "Sleep"}}


def plan_for(observed: ModelDeployment, *pods: Object, answering: str | None = None, now: datetime = NOW) -> Plan:
    return make_plan(Observed(observed, list(pods), answering), SETTINGS, now)


def actions(plan: Plan) -> list[str]:
    """The plan's actions in short, as the table states them."""
    names: list[str] = []
    for action in plan.actions:
        match action:
            case CreatePod(manifest):
                names.append(f"create {manifest['metadata']['name']}")
            case DeletePod(name, _):
                names.append(f"delete {name}")
            case WriteStatus():
                names.append("status")
            case DeleteDeployment():
                names.append("delete deployment")
    return names


@dataclass
class Case:
    """One state of the world, and what must follow."""

    name: str
    deployment: ModelDeployment
    pods: list[Object]
    actions: list[str]
    phase: str | None
    answering: str | None = None
    attempt: int = 1
    wake_in: float | None = field(default=None)


IMAGE_MISSING = {"phase": "Pending", "containerStatuses": [{"image": "x:1", "state": {"waiting": {"reason": "ErrImagePull"}}}]}

CASES = [
    Case("a new deployment gets its pod", deployment(), [], ["create smol-1", "status"], "Starting", wake_in=1800),
    Case("a deployment that is being deleted is left alone", deployment(deletionTimestamp=at(-1)), [], [], None),
    Case("a pod without a node is looked at again after the grace", deployment(), [pod(node=None)], ["status"], "Starting", wake_in=5),
    Case("a pod on its way is waited for", deployment(), [running_pod()], ["status"], "Starting", wake_in=1800),
    Case("an engine that answers is ready", deployment(), [running_pod()], ["status"], "Ready", POD_UID, wake_in=300),
    Case("another pod's answer does not count", deployment(), [running_pod()], ["status"], "Starting", "other-uid", wake_in=1800),
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
        "a deleted pod is followed by another at once",
        deployment(status=loaded(100)),
        [running_pod(deletionTimestamp=at(-1))],
        ["status"],
        "Pending",
        attempt=2,
        wake_in=0,
    ),
    Case("a pod that vanished is made again", deployment(status=loaded(100)), [], ["create smol-1", "status"], "Starting", wake_in=1800),
    Case(
        "an engine long ready, of which a new operator has not heard, is asked again",
        deployment(status=loaded(7200)),
        [running_pod()],
        ["status"],
        "Starting",
        wake_in=1800,
    ),
    Case(
        "it has the time of a start to answer",
        deployment(status=loaded(7200, phase="Starting", conditions=[not_ready_since(-1700)])),
        [running_pod()],
        ["status"],
        "Starting",
        wake_in=100,
    ),
    Case(
        "and no more",
        deployment(status=loaded(7200, phase="Starting", conditions=[not_ready_since(-1800)])),
        [running_pod()],
        ["status"],
        "Pending",
        attempt=2,
        wake_in=0,
    ),
    # Failures
    Case("a start that failed waits", deployment(), [ended_pod()], ["status"], "Stalled", attempt=2, wake_in=10),
    Case(
        "each further failure waits twice as long",
        deployment(status={"attempt": 4, "lastFailure": failure(-30, count=3, retry=-1)}),
        [ended_pod(4)],
        ["status"],
        "Stalled",
        attempt=5,
        wake_in=80,
    ),
    Case(
        "but not for ever",
        deployment(status={"attempt": 400, "lastFailure": failure(-30, count=400, retry=-1)}),
        [ended_pod(400)],
        ["status"],
        "Stalled",
        attempt=401,
        wake_in=300,
    ),
    Case(
        "an engine that served is replaced at once",
        deployment(status=loaded(100)),
        [ended_pod()],
        ["status"],
        "Pending",
        attempt=2,
        wake_in=0,
    ),
    Case(
        "unless it keeps dying",
        deployment(status=loaded(5, lastFailure=failure(-20, retry=-20))),
        [ended_pod()],
        ["status"],
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
    Case("a missing image is told, the pod is kept", deployment(), [pod(status=IMAGE_MISSING)], ["status"], "Stalled"),
    Case(
        "a start that takes too long has failed",
        deployment(status={"startRequestedAt": at(-1801)}),
        [running_pod()],
        ["status"],
        "Stalled",
        attempt=2,
        wake_in=10,
    ),
    Case("an engine without an image is told", deployment({"backend": "vllm"}), [], ["status"], "Stalled"),
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
    # Idleness
    Case("ready and used", deployment(DELETE_WHEN_IDLE, loaded(59)), [running_pod()], ["status"], "Ready", POD_UID, wake_in=1),
    Case("idle for its TTL", deployment(DELETE_WHEN_IDLE, loaded(60)), [running_pod()], ["delete deployment"], "Ready", POD_UID),
    Case(
        "a lease keeps it",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": lease(-9), "b": lease(25, 1)})),
        [running_pod()],
        ["status"],
        "Ready",
        POD_UID,
        wake_in=25,
    ),
    Case(
        "a lease that ended does not",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": lease(-9, 3)})),
        [running_pod()],
        ["delete deployment"],
        "Ready",
        POD_UID,
    ),
    Case(
        "a TTL of 0 is never",
        deployment({"idle": {"ttlSeconds": 0, "action": "Delete"}}, loaded(10_000)),
        [running_pod()],
        ["status"],
        "Ready",
        POD_UID,
    ),
    Case(
        "a lease for ever is for ever",
        deployment(DELETE_WHEN_IDLE, loaded(600, activity={"a": {**lease(0), "keepUntil": "9999-12-31T00:00:00Z"}})),
        [running_pod()],
        ["status"],
        "Ready",
        POD_UID,
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
        ["status", "delete smol-1"],
        "Sleeping",
        POD_UID,
        attempt=2,
    ),
    Case(
        "asleep it has no pod", deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping")), [], ["status"], "Sleeping", attempt=2
    ),
    Case(
        "what is left of the pod goes too",
        deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping")),
        [running_pod(1)],
        ["status", "delete smol-1"],
        "Sleeping",
        attempt=2,
    ),
    Case(
        "a lease wakes it",
        deployment(SLEEP_WHEN_IDLE, loaded(90, attempt=2, phase="Sleeping", activity={"r": lease(30, 1)})),
        [],
        ["create smol-2", "status"],
        "Starting",
        attempt=2,
        wake_in=1800,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    plan = plan_for(case.deployment, *case.pods, answering=case.answering)
    assert actions(plan) == case.actions
    if "delete deployment" not in case.actions:
        assert plan.status.phase == case.phase
    assert plan.status.attempt == case.attempt
    if case.wake_in is None:
        assert plan.wake_at is None
    else:
        assert plan.wake_at == NOW + timedelta(seconds=case.wake_in)


def test_the_delete_holds_only_for_what_was_read() -> None:
    plan = plan_for(deployment(DELETE_WHEN_IDLE, loaded(60)), running_pod(), answering=POD_UID)
    assert plan.actions == [DeleteDeployment(Preconditions(UID, "7"))]


def test_a_second_round_over_its_own_status_changes_nothing() -> None:
    first = plan_for(deployment(), running_pod(), answering=POD_UID)
    again = plan_for(deployment(status=first.status.manifest()), running_pod(), answering=POD_UID, now=NOW + timedelta(seconds=9))
    assert again.status.manifest() == first.status.manifest()


def test_the_start_is_told_step_by_step() -> None:
    created = plan_for(deployment()).status
    scheduled = plan_for(deployment(status=created.manifest()), pod(), now=NOW + timedelta(seconds=1)).status
    started = plan_for(deployment(status=scheduled.manifest()), running_pod(), now=NOW + timedelta(seconds=3)).status
    ready = plan_for(deployment(status=started.manifest()), running_pod(), answering=POD_UID, now=NOW + timedelta(seconds=7)).status
    assert [(step.name, step.seconds) for step in ready.start_steps] == [
        ("PodCreated", 0),
        ("PodScheduled", 1),
        ("EngineStarted", 3),
        ("EngineReady", 7),
    ]
    assert ready.endpoint == "http://10.0.0.5:8000"
    assert ready.loaded_at == NOW + timedelta(seconds=7)


@pytest.mark.parametrize("answering", [None, POD_UID])
def test_the_memory_that_a_pod_is_counted_with_is_told_while_there_is_one(answering: str | None) -> None:
    counted = running_pod(annotations={MEMORY_ANNOTATION: "350000000"})
    status = plan_for(deployment(), counted, answering=answering).status
    assert status.memory_bytes == 350_000_000
    assert plan_for(deployment(status=status.model_dump(mode="json", by_alias=True)), ended_pod()).status.memory_bytes is None


def test_what_the_node_says_of_a_start_is_told() -> None:
    waiting = {"reason": "ContainerCreating", "message": "half of it is here"}
    installing = pod(status={"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]})
    conditions = plan_for(deployment(), installing).status.conditions
    for kind in (ConditionType.READY, ConditionType.RECONCILING):
        told = condition_of(conditions, kind)
        assert told
        assert told.message == "half of it is here"


def test_the_engine_is_asked_once_its_container_runs() -> None:
    assert plan_for(deployment(), pod()).probe is None
    assert plan_for(deployment(), running_pod()).probe == "http://10.0.0.5:8000/health"
    assert plan_for(deployment(), running_pod(), answering=POD_UID).probe is None


def test_after_a_pod_that_vanished_the_time_of_a_start_counts_anew() -> None:
    first = plan_for(deployment(status=loaded(7200, activity={"r": lease(30, 1)})))
    started = deployment(status=first.status.manifest())
    assert plan_for(started, running_pod(), now=NOW + timedelta(seconds=10)).status.start_steps[-1].seconds == 10


def test_a_failure_is_told_where_people_look() -> None:
    status = plan_for(deployment(), ended_pod(exitCode=78, message="ModelNotFound: there is no /models/x")).status
    for kind, expected in ((ConditionType.STALLED, "True"), (ConditionType.READY, "False")):
        condition = condition_of(status.conditions, kind)
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == (expected, "ModelNotFound", "there is no /models/x")


def test_a_replaced_engine_keeps_its_reason_until_a_run_has_lasted() -> None:
    after = loaded(59, lastFailure=failure(-70, retry=-70))
    assert plan_for(deployment(status=after), running_pod(), answering=POD_UID).status.last_failure is not None
    assert plan_for(deployment(status=after), running_pod(), answering=POD_UID, now=NOW + timedelta(seconds=1)).status.last_failure is None


def test_a_condition_keeps_its_time_while_it_stays_as_it_is() -> None:
    first = plan_for(deployment()).status
    later = plan_for(deployment(status=first.manifest()), pod(), now=NOW + timedelta(seconds=5)).status
    ready = condition_of(later.conditions, ConditionType.READY)
    scheduled = condition_of(later.conditions, ConditionType.POD_SCHEDULED)
    assert ready is not None
    assert scheduled is not None
    assert ready.last_transition_time == NOW
    assert scheduled.last_transition_time == NOW + timedelta(seconds=5)


def test_entries_of_routers_that_are_long_gone_are_forgotten() -> None:
    activity: dict[str, Any] = {"gone": lease(-3601), "recent": lease(-3599)}
    assert plan_for(deployment(status=loaded(10, activity=activity)), running_pod(), answering=POD_UID).forget == ["gone"]


def test_a_pod_that_the_api_server_refuses_stalls_the_deployment_with_its_words() -> None:
    plan = pod_refused(deployment(), "PodRefused", "exceeded quota: gpus", SETTINGS, NOW)
    assert plan.status.phase == "Stalled"
    assert plan.status.last_failure is not None
    assert plan.status.last_failure.message == "the pod was refused: exceeded quota: gpus"


@pytest.mark.parametrize(
    ("name", "activity", "asleep"),
    [
        ("unloaded", {"a": {**lease(500), "unloadAt": at(-1)}}, True),
        ("unloaded, then asked for", {"a": {**lease(500), "unloadAt": at(-6)}}, False),
        ("unloaded through one router, then asked for through another", {"a": {**lease(9), "unloadAt": at(-6)}, "b": lease(30)}, False),
        ("unloaded before it was started again", {"a": {**lease(-900), "lastActivity": at(-950), "unloadAt": at(-900)}}, False),
    ],
)
@pytest.mark.parametrize("ttl", [0, 600])
def test_unloading_counts_until_the_next_request(name: str, activity: dict[str, Any], ttl: int, *, asleep: bool) -> None:
    observed = deployment({"idle": {"ttlSeconds": ttl, "action": "Sleep"}}, loaded(100, activity=activity))
    plan = plan_for(observed, running_pod(), answering=POD_UID)
    assert (plan.status.phase == "Sleeping") == asleep, name
