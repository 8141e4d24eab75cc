"""In which words a deployment's state is told, and what it keeps on record."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from berth_api.conditions import ConditionType, condition_of
from berth_cluster.cluster import CONTEXT_ANNOTATION, MEMORY_ANNOTATION, TRAINED_CONTEXT_ANNOTATION, Preconditions
from berth_operator.deployments.actions import ProbeTarget
from berth_operator.deployments.health import ProbeHistory
from berth_operator.deployments.plan import pod_name_taken, pod_refused
from berth_operator.engines.context import EngineContext
from berth_operator.reconciling.writer import DeleteResource
from tests.unit.operator.building import (
    NOW,
    POD_UID,
    SETTINGS,
    UID,
    answering,
    at,
    deployment,
    ended_pod,
    failure,
    lease,
    loaded,
    pod,
    running_pod,
)
from tests.unit.operator.cases import actions, plan_for


def test_the_delete_holds_only_for_what_was_read() -> None:
    plan = plan_for(
        deployment({"idle": {"ttlSeconds": 60, "action": "Delete"}}, loaded(60)), running_pod(), probes=answering()
    )
    assert plan.actions[0] == DeleteResource(Preconditions(UID, "7"))


def test_a_second_round_over_its_own_status_changes_nothing() -> None:
    first = plan_for(deployment(), running_pod(), probes=answering())
    again = plan_for(
        deployment(status=first.status.manifest()), running_pod(), probes=answering(), now=NOW + timedelta(seconds=9)
    )
    assert again.status.manifest() == first.status.manifest()


def test_the_status_has_each_step_of_the_start() -> None:
    created = plan_for(deployment()).status
    scheduled = plan_for(deployment(status=created.manifest()), pod(), now=NOW + timedelta(seconds=1)).status
    started = plan_for(deployment(status=scheduled.manifest()), running_pod(), now=NOW + timedelta(seconds=3)).status
    ready = plan_for(
        deployment(status=started.manifest()), running_pod(), probes=answering(), now=NOW + timedelta(seconds=7)
    ).status
    assert [(step.name, step.seconds) for step in ready.start_steps] == [
        ("PodCreated", 0),
        ("PodScheduled", 1),
        ("EngineStarted", 3),
        ("EngineReady", 7),
    ]
    assert ready.endpoint == "http://10.0.0.5:8000"
    assert ready.loaded_at == NOW + timedelta(seconds=7)


@pytest.mark.parametrize("probes", [None, answering()])
def test_the_status_has_the_memory_that_is_counted_for_a_pod_while_there_is_one(probes: ProbeHistory | None) -> None:
    counted = running_pod(annotations={MEMORY_ANNOTATION: "350000000"})
    status = plan_for(deployment(), counted, probes=probes).status
    assert status.memory_bytes == 350_000_000
    assert (
        plan_for(deployment(status=status.model_dump(mode="json", by_alias=True)), ended_pod()).status.memory_bytes
        is None
    )


GIVEN = {CONTEXT_ANNOTATION: "4096", TRAINED_CONTEXT_ANNOTATION: "8192"}


@pytest.mark.parametrize(
    ("spec", "annotations", "told", "context", "clause"),
    [
        ("auto", GIVEN, None, (4096, 8192), ""),
        ("auto", {}, EngineContext(4096, 8192), (4096, 8192), ""),
        ("auto", {}, None, (None, None), ""),
        ("auto", {}, EngineContext(), (None, None), ""),
        (300, {}, EngineContext(512, 8192), (512, 8192), ""),
        (
            16_384,
            {CONTEXT_ANNOTATION: "8192"},
            EngineContext(8192, 8192),
            (8192, 8192),
            "; its context has 8192 tokens, as many as the model was made for, and not the 16384 of contextSize",
        ),
    ],
    ids=["given by a budget", "told by the engine", "not known", "never told", "rounded up", "capped"],
)
def test_the_status_says_how_much_context_a_request_has(
    spec: int | str,
    annotations: dict[str, str],
    told: EngineContext | None,
    context: tuple[int | None, int | None],
    clause: str,
) -> None:
    there = running_pod(annotations=annotations)
    declared = {"llamacpp": {"contextSize": spec}}
    probes = replace(answering(), context=told)
    ready = plan_for(deployment(declared), there, probes=probes).status
    message = condition_of(ready.conditions, ConditionType.READY)
    assert message
    assert (ready.context_size, ready.trained_context_size) == context
    assert message.message.partition(" to start")[2] == clause
    # An operator that has just come has not asked the engine, and keeps what the one before it wrote.
    later = plan_for(deployment(declared, ready.manifest()), there, probes=replace(answering(), context=None)).status
    assert (later.context_size, later.trained_context_size) == context
    ended = plan_for(deployment(declared, ready.manifest()), ended_pod()).status
    assert (ended.context_size, ended.trained_context_size) == (None, None)


def test_a_pod_that_starts_with_a_given_context_says_it_at_once() -> None:
    starting = plan_for(deployment({"llamacpp": {"contextSize": "auto"}}), running_pod(annotations=GIVEN)).status
    assert (starting.context_size, starting.trained_context_size) == (4096, 8192)


def test_the_status_repeats_what_the_node_says_of_a_start() -> None:
    waiting = {"reason": "ContainerCreating", "message": "half of it is here"}
    installing = pod(status={"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]})
    conditions = plan_for(deployment(), installing).status.conditions
    for kind in (ConditionType.READY, ConditionType.RECONCILING):
        told = condition_of(conditions, kind)
        assert told
        assert told.message == "half of it is here"


def test_the_engine_is_asked_as_soon_as_its_container_runs() -> None:
    engine = ProbeTarget(POD_UID, "http://10.0.0.5:8000/health", "http://10.0.0.5:8000/v1/models", UID)
    assert plan_for(deployment(), pod()).probe is None
    assert plan_for(deployment(), running_pod()).probe == engine
    assert plan_for(deployment(), running_pod(), probes=answering()).probe == engine, "and for as long as it serves"


def test_after_a_pod_that_vanished_the_time_of_a_start_counts_anew() -> None:
    first = plan_for(deployment(status=loaded(7200, activity={"r": lease(30, 1)})))
    started = deployment(status=first.status.manifest())
    assert plan_for(started, running_pod(2), now=NOW + timedelta(seconds=10)).status.start_steps[-1].seconds == 10


def test_a_failure_stands_where_people_look() -> None:
    status = plan_for(deployment(), ended_pod(exitCode=78, message="ModelNotFound: there is no /models/x")).status
    for kind, expected in ((ConditionType.STALLED, "True"), (ConditionType.READY, "False")):
        condition = condition_of(status.conditions, kind)
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == (
            expected,
            "ModelNotFound",
            "there is no /models/x",
        )


def test_a_replaced_engine_keeps_its_reason_until_a_run_has_lasted() -> None:
    after = loaded(59, lastFailure=failure(-70, retry=-70))
    assert plan_for(deployment(status=after), running_pod(), probes=answering()).status.last_failure is not None
    assert (
        plan_for(
            deployment(status=after), running_pod(), probes=answering(), now=NOW + timedelta(seconds=1)
        ).status.last_failure
        is None
    )


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
    activity: dict[str, Any] = {
        "gone": {**lease(-3601), "lastActivity": at(-3601)},
        "recent": {**lease(-3599), "lastActivity": at(-3599)},
    }
    assert plan_for(deployment(status=loaded(10, activity=activity)), running_pod(), probes=answering()).forget == [
        "gone"
    ]


def test_a_pod_that_the_api_server_refuses_stalls_the_deployment_with_its_words() -> None:
    plan = pod_refused(deployment(), pod(), "exceeded quota: gpus", SETTINGS, NOW)
    assert actions(plan) == ["status"]
    assert (plan.status.phase, plan.status.attempt) == ("Stalled", 2)
    assert plan.status.last_failure is not None
    assert plan.status.last_failure.message == "the pod was refused: exceeded quota: gpus"


def test_somebody_elses_pod_of_the_same_name_ends_the_attempt_and_the_next_one_has_another_name() -> None:
    plan = pod_name_taken(deployment(), pod(), SETTINGS, NOW)
    assert actions(plan) == ["status"]
    assert (plan.status.phase, plan.status.attempt) == ("Stalled", 2)
    stalled = condition_of(plan.status.conditions, ConditionType.STALLED)
    assert stalled
    assert stalled.reason == "PodNameTaken"
    assert "smol-11111111-1 that is not this deployment's" in stalled.message


@pytest.mark.parametrize(
    ("name", "activity", "asleep"),
    [
        ("unloaded", {"a": {**lease(500), "unloadAt": at(-1)}}, True),
        ("unloaded, then asked for", {"a": {**lease(500), "unloadAt": at(-6)}}, False),
        (
            "unloaded through one router, then asked for through another",
            {"a": {**lease(9), "unloadAt": at(-6)}, "b": lease(30)},
            False,
        ),
        (
            "unloaded before it was started again",
            {"a": {**lease(-900), "lastActivity": at(-950), "unloadAt": at(-900)}},
            False,
        ),
    ],
)
@pytest.mark.parametrize("ttl", [0, 600])
def test_unloading_counts_until_the_next_request(
    name: str, activity: dict[str, Any], ttl: int, *, asleep: bool
) -> None:
    observed = deployment({"idle": {"ttlSeconds": ttl, "action": "Sleep"}}, loaded(100, activity=activity))
    plan = plan_for(observed, running_pod(), probes=answering())
    assert (plan.status.phase == "Sleeping") == asleep, name
