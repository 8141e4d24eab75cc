"""The reconciler of deployments, with every call that it makes of the cluster failing once: it gets there all the same.

For each story, each of the operator's calls is hit by each fault in a run of its own. Whatever is hit, the story ends
as it should; no attempt has two pods; no reason is lost; and between two writes that no change caused lies a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Cluster, Object
from berth_operator.deployments.reconciler import DeploymentReconciler
from berth_operator.deployments.view import DeploymentView, Look
from berth_operator.objects.parts import status_of
from berth_operator.settings import OperatorSettings
from tests.unit.examples import sample
from tests.unit.operator.building import lease
from tests.unit.operator.faulty_cluster import Fault, points
from tests.unit.operator.world import Operator, World
from tests.unit.virtual_time import run_in_virtual_time, wall_clock

SETTINGS = OperatorSettings.model_validate({"engines": {"llamacpp": {"cpu": {"image": "berth/llamacpp:1"}}}})


class RecordedView(DeploymentView):
    """Has the world write down each look."""

    def __init__(self, cluster: Cluster, note_read: Callable[[], None]) -> None:
        super().__init__(cluster)
        self._note_read = note_read

    async def look(self, name: str, *, fresh: bool = False) -> Look:
        self._note_read()
        return await super().look(name, fresh=fresh)


def begin(cluster: Cluster, world: World) -> Operator:
    view = RecordedView(cluster, world.note_read)
    reconciler = DeploymentReconciler(view, world, SETTINGS, wall_clock)
    return Operator([view.run()], reconciler.close)


async def declare(world: World, action: str = "Sleep", ttl: int = 0, name: str = "smol") -> Object:
    spec = {
        "model": "/models/SmolLM2",
        "backend": "llamacpp",
        "device": "cpu",
        "idle": {"action": action, "ttlSeconds": ttl},
    }
    body = {
        "apiVersion": MODEL_DEPLOYMENTS.api_version,
        "kind": MODEL_DEPLOYMENTS.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    return await world.cluster.create(MODEL_DEPLOYMENTS, body)


def ready(attempt: int) -> Callable[[Object | None], bool]:
    """Whether a deployment is ready in this attempt, or in a later one."""

    def holds(found: Object | None) -> bool:
        status = status_of(found or {})
        return status.get("phase") == "Ready" and status.get("attempt", 1) >= attempt

    return holds


def phase(name: str) -> Callable[[Object | None], bool]:
    return lambda found: status_of(found or {}).get("phase") == name


def reasons(world: World) -> set[str]:
    """All reasons that were ever on record, or in the condition Ready."""

    def of(status: Object) -> list[str]:
        record: list[Object] = [status["lastFailure"]] if "lastFailure" in status else []
        conditions: list[Object] = status.get("conditions") or []
        return [each["reason"] for each in [*record, *(each for each in conditions if each["type"] == "Ready")]]

    return {reason for each in world.told(of) for reason in each}


async def is_ready(world: World) -> None:
    await declare(world)
    await world.until(ready(1))


async def has_been_ready(world: World) -> None:
    await is_ready(world)
    await asyncio.sleep(60)


async def nothing(_: World) -> None:
    """Nothing comes before."""


async def fails_to_start(world: World) -> None:
    await declare(world)
    await world.until_pods(lambda pods: any(pod.get("status") for pod in pods))
    await world.container_ends(exitCode=78, message="ModelNotFound: there is no such model")
    await world.until(ready(2))
    assert "ModelNotFound" in reasons(world)


async def dies(world: World) -> None:
    await world.container_ends(exitCode=139)
    await world.until(ready(2))
    assert "EngineCrashed" in reasons(world)


async def hangs(world: World) -> None:
    await world.engine_turns("hangs")
    await world.until(ready(2))
    assert {"EngineNotAnswering", "EngineHung"} <= reasons(world)
    marked = [
        change.object["metadata"]
        for change in world.history
        if "deletionTimestamp" in change.object.get("metadata", {})
    ]
    assert {each["deletionGracePeriodSeconds"] for each in marked} == {1}, "nothing can ask it to end"


async def hangs_for_a_while(world: World) -> None:
    await world.engine_turns("hangs")
    await world.until(phase("Unresponsive"))
    await world.engine_turns("answers")
    await world.until(ready(1))
    assert sum(world.made(PODS).values()) == 1
    assert "EngineHung" not in reasons(world)


async def is_taken_away(world: World) -> None:
    [pod] = await world.pods()
    await world.cluster.delete(PODS, pod["metadata"]["name"])
    found = await world.until(ready(2))
    assert "PodDeleted" in reasons(world)
    assert found
    assert "lastFailure" not in found["status"]


async def changes(world: World) -> None:
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": {"zone": "b"}}})
    await world.until(ready(2))
    assert "SpecChanged" in reasons(world)
    [pod] = await world.pods()
    assert pod["spec"]["nodeSelector"] == {"zone": "b"}


async def is_used_for_a_while(world: World) -> None:
    await declare(world, "Delete", ttl=20)
    await world.until(ready(1))


async def is_idle(world: World) -> None:
    await world.until(lambda found: found is None)
    await world.until_pods(lambda pods: not pods)


async def sleeps_and_wakes(world: World) -> None:
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"idle": {"action": "Sleep"}}})
    await world.until(phase("Sleeping"))
    await world.cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"activity": {"router": lease(10_000, 1)}})
    await world.until(ready(2))


@dataclass(frozen=True, slots=True)
class Story:
    """What comes first, and what then happens, in which the operator's calls fail."""

    first: Callable[[World], Awaitable[None]]
    then: Callable[[World], Awaitable[None]]


STORIES = [
    Story(nothing, is_ready),
    Story(nothing, fails_to_start),
    Story(is_ready, dies),
    Story(is_ready, hangs),
    Story(is_ready, hangs_for_a_while),
    Story(has_been_ready, is_taken_away),
    Story(has_been_ready, changes),
    Story(is_used_for_a_while, is_idle),
    Story(is_used_for_a_while, sleeps_and_wakes),
]


def told(story: Story, fault: Fault | None = None, at: int = 0) -> list[str]:
    """Tells the story, with this fault at the operator's call of this number; then minutes in which nothing happens.

    The calls that the operator made in the story.
    """

    async def run() -> list[str]:
        async with World(begin, MODEL_DEPLOYMENTS) as world:
            await story.first(world)
            world.operators.meet(fault, at)
            await story.then(world)
            calls = list(world.operators.calls)
            await asyncio.sleep(2 * SETTINGS.timing.stable_run)  # after which an earlier failure is forgotten
            written, made = world.writes(), len(world.operators.calls)
            await asyncio.sleep(4 * SETTINGS.timing.resync)
            assert world.writes() == written, "at rest nothing is written"
            assert len(world.operators.calls) - made <= 2 * 5, "and little is read"
            world.check()
            return calls

    return run_in_virtual_time(run())


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.then.__name__)
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_whichever_call_fails_the_story_ends_as_it_should(story: Story, fault: Fault) -> None:
    for at in sample(points(told(story), fault)):
        try:
            told(story, fault, at)
        except Exception as error:
            raise AssertionError(f"{story.then.__name__}, {fault.name} at the operator's call {at}") from error
