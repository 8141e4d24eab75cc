"""Events: one object for each reason of a deployment, counted up."""

from berth_cluster.cluster import EVENTS, Cluster, Object, Preconditions, UnavailableError
from berth_operator.deployments.actions import ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.reconciling.event_recorder import EventRecorder
from berth_operator.resources import make_event
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.operator.building import NOW, SETTINGS, deployment, ended_pod


def failure(message: str, uid: str = "8a3f1c2e-0000-0000-0000-000000000000") -> Object:
    broken = deployment(uid=uid)
    pods = [ended_pod(message=f"ModelNotFound: {message}")]
    event = make_event(broken, make_plan(ObservedDeployment(broken, pods, None), SETTINGS, NOW).status, NOW)
    assert event is not None
    return event


async def counted(cluster: Cluster) -> list[tuple[int, str]]:
    return sorted((event["count"], event["message"]) for event in (await cluster.list(EVENTS)).items)


async def test_what_happens_again_is_counted_up_also_by_the_next_operator() -> None:
    cluster = MemoryCluster()
    first = EventRecorder(cluster)
    await first.publish(failure("one"))
    await first.publish(failure("two"))
    assert await counted(cluster) == [(2, "two")]
    await EventRecorder(cluster).publish(failure("three"))
    await first.publish(failure("four"))
    assert await counted(cluster) == [(3, "four")], "a count is for people: two that write at once may lose one"


async def test_a_successor_of_the_same_name_has_events_of_its_own() -> None:
    cluster = MemoryCluster()
    recorder = EventRecorder(cluster)
    await recorder.publish(failure("one"))
    await recorder.publish(failure("two", uid="9b000000-0000-0000-0000-000000000000"))
    assert await counted(cluster) == [(1, "one"), (1, "two")]


async def test_an_event_that_the_api_server_has_forgotten_is_made_anew() -> None:
    cluster = MemoryCluster()
    recorder = EventRecorder(cluster)
    event = failure("one")
    await recorder.publish(event)
    [stored] = (await cluster.list(EVENTS)).items
    await cluster.delete(EVENTS, stored["metadata"]["name"], Preconditions(stored["metadata"]["uid"]))
    await recorder.publish(event)
    assert await counted(cluster) == [(1, "one")]


async def test_nothing_depends_on_an_event() -> None:
    cluster = MemoryCluster()
    cluster.fail_next("create", UnavailableError("away"))
    await EventRecorder(cluster).publish(failure("one"))
    assert await counted(cluster) == []
