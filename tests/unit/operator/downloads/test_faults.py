"""The reconciler of downloads, with every call that it makes failing once: it gets there all the same."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from berth_api.download_report import DownloadReport
from berth_cluster.cluster import JOBS, LABEL_DOWNLOAD, MODEL_DOWNLOADS, PODS, Cluster, Object
from berth_local.node.jobs import LABEL_JOB, JobController
from berth_local.serve.controllers import wake_on_changes
from berth_operator.downloads import DownloadReconciler
from berth_operator.objects.parts import status_of
from tests.unit.examples import sample
from tests.unit.operator.downloads.building import SETTINGS
from tests.unit.operator.faulty_cluster import Fault, points
from tests.unit.operator.world import Operator, World
from tests.unit.virtual_time import run_in_virtual_time, wall_clock


class SilentReader:
    """Downloads say nothing before they end."""

    async def read(self, url: str) -> DownloadReport | None:
        return None


def begin(cluster: Cluster, world: World) -> Operator:
    del world
    reconciler = DownloadReconciler(cluster, SilentReader(), SETTINGS, clock=wall_clock)
    watching = [
        wake_on_changes(cluster, MODEL_DOWNLOADS, reconciler.wake),
        *(wake_on_changes(cluster, child, reconciler.wake, LABEL_DOWNLOAD) for child in (PODS, JOBS)),
    ]
    return Operator(watching, reconciler.close)


@asynccontextmanager
async def job_controller(world: World) -> AsyncGenerator[None]:
    """What makes the pods of Jobs."""
    jobs = JobController(world.cluster, wall_clock)
    watching = [
        wake_on_changes(world.cluster, JOBS, jobs.wake),
        wake_on_changes(world.cluster, PODS, jobs.wake, LABEL_JOB),
    ]
    tasks = [asyncio.create_task(watch) for watch in watching]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await jobs.close()


def reason(name: str) -> Callable[[Object | None], bool]:
    return lambda found: status_of(found or {}).get("reason") == name


async def asked_for(world: World) -> None:
    body: dict[str, Any] = {
        "apiVersion": MODEL_DOWNLOADS.api_version,
        "kind": MODEL_DOWNLOADS.kind,
        "metadata": {"name": "smol"},
    }
    await world.cluster.create(MODEL_DOWNLOADS, {**body, "spec": {"repository": "org/SmolLM2"}})


async def nothing(_: World) -> None:
    """Nothing comes before."""


async def runs(world: World) -> None:
    await asked_for(world)
    await world.until(reason("Starting"))


async def succeeds(world: World) -> None:
    await world.container_ends(exitCode=0, finishedAt=wall_clock().isoformat(), message=last_word("Succeeded"))
    await world.until(reason("Succeeded"))


async def fails_once(world: World) -> None:
    away = last_word("Failed", reason="HubUnavailable", message="no answer")
    await world.container_ends(exitCode=1, finishedAt=wall_clock().isoformat(), message=away)
    await world.until(lambda found: sum(world.made(PODS).values()) == 2 and reason("Starting")(found))


async def fails_for_good(world: World) -> None:
    gated = last_word("Failed", reason="RepositoryGated", message="ask for access")
    await world.container_ends(exitCode=3, finishedAt=wall_clock().isoformat(), message=gated)
    found = await world.until(reason("RepositoryGated"))
    assert found
    assert found["status"]["phase"] == "Failed"


async def is_made_again(world: World) -> None:
    """It is deleted and asked for again while its pod still ends."""
    await world.cluster.delete(MODEL_DOWNLOADS, "smol")
    await asked_for(world)
    await world.until(reason("Starting"))


async def is_cancelled(world: World) -> None:
    await world.cluster.delete(MODEL_DOWNLOADS, "smol")
    await world.until_pods(lambda pods: not pods)


def last_word(phase: str, **more: Any) -> str:
    return json.dumps({"phase": phase, "bytesDone": 10, "bytesTotal": 10, "filesDone": 1, "filesTotal": 1, **more})


@dataclass(frozen=True, slots=True)
class Story:
    """What comes first, and what then happens, in which the operator's calls fail."""

    first: Callable[[World], Awaitable[None]]
    then: Callable[[World], Awaitable[None]]


STORIES = [
    Story(nothing, runs),
    *(Story(runs, then) for then in (succeeds, fails_once, fails_for_good, is_made_again, is_cancelled)),
]


def told(story: Story, fault: Fault | None = None, at: int = 0) -> list[str]:
    """Tells the story, with this fault at the operator's call of this number; then minutes in which nothing happens.

    The calls that the operator made in the story.
    """

    async def run() -> list[str]:
        async with World(begin, MODEL_DOWNLOADS) as world, job_controller(world):
            await story.first(world)
            world.operators.meet(fault, at)
            await story.then(world)
            calls = list(world.operators.calls)
            # What a cancelled download leaves is removed a moment later, by a Job that nobody ends here.
            await asyncio.sleep(60)
            written = world.writes()
            await asyncio.sleep(120)
            assert world.writes() == written, "at rest nothing is written"
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
