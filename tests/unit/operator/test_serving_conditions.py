"""The conditions of an engine that is silent, was taken away, or was made from something that has changed since."""

from typing import Any

import pytest

from berth_api.conditions import PLANNED_DISRUPTIONS, ConditionType, condition_of
from berth_operator.resources.made_from import difference
from berth_operator.settings import OperatorSettings
from tests.unit.operator import test_replacing, test_serving
from tests.unit.operator.building import SETTINGS, answering, deployment, loaded, pod, running_pod
from tests.unit.operator.cases import Case, plan_for
from tests.unit.operator.test_replacing import CHANGED, IN_USE, OTHER_IMAGE, OTHER_NODE, TAKEN_AWAY_FROM_USERS
from tests.unit.operator.test_serving import NOT_ANSWERING


def condition(case: Case, kind: ConditionType) -> tuple[str, str, str, int | None]:
    found = condition_of(case.plan().status.conditions, kind)
    assert found
    return found.status, found.reason, found.message, found.observed_generation


def case_of(name: str) -> Case:
    return next(case for case in [*test_serving.CASES, *test_replacing.CASES] if case.name == name)


def test_the_status_says_since_when_an_engine_gives_no_answer_and_it_takes_no_requests() -> None:
    case = case_of("an engine that has not answered for 15 s gets no new requests")
    status, reason, message, _ = condition(case, ConditionType.READY)
    assert (status, reason) == ("False", "EngineNotAnswering")
    assert message.startswith(
        "the engine has not answered since 2026-01-02T11:59:45.000Z: no answer within 5 s; new requests wait"
    )
    assert condition(case, ConditionType.RECONCILING)[:2] == ("True", "EngineNotAnswering")
    assert case.plan().status.endpoint is None
    assert case.plan().probe, "it is asked on"


def test_what_an_operator_before_this_one_said_stays_as_it_was() -> None:
    case = case_of("an operator that has just come believes the one before it until the engine has answered it")
    assert condition(case, ConditionType.READY)[2] == NOT_ANSWERING["message"]


def test_an_engine_that_hung_is_on_record() -> None:
    record = case_of("an engine that hangs is replaced at once").plan().status.last_failure
    assert record
    assert (record.reason, record.count) == ("EngineHung", 1)
    assert record.message == "the engine gave no answer for 60 s, since 2026-01-02T11:59:00.000Z: no answer within 5 s"


def test_until_a_change_is_applied_the_status_names_it_and_the_generation_that_runs() -> None:
    case = case_of("a changed spec waits until nobody uses the engine")
    assert condition(case, ConditionType.UP_TO_DATE) == (
        "False",
        "SpecChanged",
        (
            "since the engine was started this has changed: which nodes it may run on;"
            " it is applied as soon as no request needs the engine"
        ),
        4,
    )
    assert condition(case, ConditionType.READY)[3] == 3
    assert case.plan().status.observed_generation == 4
    after = case_of("then it goes, and answers under way are made to their end")
    assert condition(after, ConditionType.UP_TO_DATE)[0] == "True"
    assert condition(after, ConditionType.READY)[3] == 4


def test_a_new_image_is_named() -> None:
    image = Case(
        "",
        deployment(status=loaded(100, activity=IN_USE)),
        [running_pod()],
        [],
        None,
        answering(),
        settings=OTHER_IMAGE,
    )
    status, reason, message, _ = condition(image, ConditionType.UP_TO_DATE)
    assert (status, reason) == ("False", "ImageChanged")
    assert "this has changed: the image, now berth/llamacpp:2" in message


def test_the_status_says_that_no_engine_like_it_could_be_started() -> None:
    status, reason, message, _ = condition(
        case_of("an engine of which there is no image any more goes on serving"), ConditionType.UP_TO_DATE
    )
    assert (status, reason) == ("False", "EngineUnavailable")
    assert "the one that runs is left as it is" in message


@pytest.mark.parametrize(
    "case", [*TAKEN_AWAY_FROM_USERS, *(case for case in CHANGED if case.attempt == 2)], ids=lambda case: case.name
)
def test_routers_can_read_that_the_engine_did_not_end_by_its_own_doing(case: Case) -> None:
    status, reason, _, _ = condition(case, ConditionType.READY)
    assert status == "False"
    assert reason in PLANNED_DISRUPTIONS
    before = case.deployment.status.last_failure
    assert case.plan().status.last_failure == (before if before and before.retry_at else None)


@pytest.mark.parametrize(
    ("spec", "settings", "what"),
    [
        ({}, SETTINGS, None),
        ({"idle": {"ttlSeconds": 5}}, SETTINGS, None),
        ({"resources": {"limits": {"memory": "1Gi"}}}, SETTINGS, "its compute resources"),
        (OTHER_NODE, SETTINGS, "which nodes it may run on"),
        ({"tolerations": [{"operator": "Exists"}]}, SETTINGS, "which nodes it may run on"),
        ({"llamacpp": {"contextSize": 512}}, SETTINGS, "the engine's arguments"),
        ({}, OTHER_IMAGE, "the image, now berth/llamacpp:2"),
        (
            {**OTHER_NODE, "resources": {"limits": {"cpu": 1}}},
            OTHER_IMAGE,
            "the image, now berth/llamacpp:2, its compute resources, which",
        ),
        (
            {},
            SETTINGS.model_copy(update={"timing": SETTINGS.timing.model_copy(update={"termination_grace": 9})}),
            "its pod's other settings",
        ),
    ],
)
def test_what_differs_is_named(spec: dict[str, Any], settings: OperatorSettings, what: str | None) -> None:
    wanted = pod(made_of=deployment(spec, generation=9), settings=settings)
    found = difference(pod(), wanted)
    assert (found is None) == (what is None)
    if found and what:
        assert found.what.startswith(what)
        assert found.generation == 3


def test_an_engines_address_is_that_of_its_own_container() -> None:
    injected = running_pod()
    injected["spec"]["containers"].insert(0, {"name": "proxy", "ports": [{"containerPort": 15090}]})
    assert plan_for(deployment(), injected, probes=answering()).status.endpoint == "http://10.0.0.5:8000"
