"""Which changes of a deployment become events, and with which words."""

from berth_operator.deployments.actions import ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.resources import make_event
from tests.unit.operator.building import NOW, SETTINGS, answering, deployment, ended_pod, pod, running_pod, silent


def test_a_start_is_told_when_it_begins_and_when_it_ends() -> None:
    new = deployment()
    started = make_plan(ObservedDeployment(new, [], None), SETTINGS, NOW).status
    begun = make_event(new, started, NOW)
    assert begun is not None
    assert (begun["type"], begun["reason"]) == ("Normal", "Starting")
    starting = deployment(status=started.manifest())
    assert (
        make_event(starting, make_plan(ObservedDeployment(starting, [pod()], None), SETTINGS, NOW).status, NOW) is None
    )
    ended = make_event(
        starting, make_plan(ObservedDeployment(starting, [running_pod()], answering()), SETTINGS, NOW).status, NOW
    )
    assert ended is not None
    assert (ended["type"], ended["reason"]) == ("Normal", "EngineReady")
    assert ended["involvedObject"]["uid"] == new.uid


def test_a_failure_is_a_warning_with_its_reason() -> None:
    broken = deployment()
    status = make_plan(
        ObservedDeployment(broken, [ended_pod(message="ModelNotFound: there is no /models/x")], None), SETTINGS, NOW
    ).status
    event = make_event(broken, status, NOW)
    assert event is not None
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "ModelNotFound", "there is no /models/x")


def test_a_long_message_is_cut_to_what_the_api_server_takes() -> None:
    broken = deployment()
    status = make_plan(ObservedDeployment(broken, [ended_pod(message="x" * 3000)], None), SETTINGS, NOW).status
    event = make_event(broken, status, NOW)
    assert event is not None
    assert len(event["message"]) == 1024


def test_an_engine_that_gives_no_answer_is_a_warning() -> None:
    serving = deployment(
        status=make_plan(
            ObservedDeployment(deployment(), [running_pod()], answering()), SETTINGS, NOW
        ).status.manifest()
    )
    event = make_event(
        serving, make_plan(ObservedDeployment(serving, [running_pod()], silent(20)), SETTINGS, NOW).status, NOW
    )
    assert event is not None
    assert (event["type"], event["reason"]) == ("Warning", "EngineNotAnswering")
