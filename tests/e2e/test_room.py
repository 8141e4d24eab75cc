"""More models than GPUs: what is idle gives way, what is busy is waited for, and no stream is cut. Two routers."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from berth_api.activity import leased_until
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.crowd import Outcome, crowd
from tests.e2e.gpus import advertise, ask, load_copies
from tests.e2e.release import CAPITAL, Release, install, user
from tests.e2e.switches import switches
from tests.kubectl import Kubectl

GPU = "nvidia.com/gpu"
MODELS = ("one", "two", "three")
MIN_RESIDENCY = 2
MAX_RESIDENCY = 20
LONGEST_CHANGE = 20
"""Seconds in which a model drains and leaves, and the next one starts, on a busy machine."""
LONGEST_WAIT = (len(MODELS) - 1) * (MAX_RESIDENCY + LONGEST_CHANGE) + LONGEST_CHANGE
"""Nobody waits longer: each of the other models has its time once, and they change places before it and after it."""


@pytest.fixture(scope="module", params=["false", "true"], ids=["by the scheduler's words", "by a look at nodes"])
def one_gpu(
    request: pytest.FixtureRequest, test_cluster: Kubectl, crds: None, images: dict[str, str], models: Path
) -> Iterator[Release]:
    """Two routers, three models, and one GPU, behind which the engine computes on the CPU."""
    advertise(test_cluster, GPU, 1)
    values = (
        "router.replicas=2",
        f"operator.room.watchNodes={request.param}",
        f"operator.room.minResidency={MIN_RESIDENCY}",
        f"operator.room.maxResidency={MAX_RESIDENCY}",
        "router.defaultDevice=cuda",
    )
    installed = install(
        make_namespace(test_cluster, f"berth-room-{secrets.token_hex(3)}"),
        images,
        *values,
        more_images={"engines.llamacpp.cuda.image": "llamacpp"},
    )
    load_copies(installed, models, MODELS)
    yield installed
    installed.uninstall()
    advertise(test_cluster, GPU, 0)


@pytest.fixture
async def room(one_gpu: Release) -> AsyncIterator[Release]:
    """That release with no deployment in it."""
    cluster = await KubernetesCluster.connect(one_gpu.kubectl.namespace)
    one_gpu.watch_with(cluster)
    await one_gpu.clear()
    yield one_gpu
    await one_gpu.close_clients()
    await cluster.close()


async def test_an_idle_model_gives_its_gpu_to_the_one_that_is_asked(room: Release) -> None:
    async with switches(room.cluster) as seen:
        began = time.monotonic()
        await ask(room, "one")
        first = time.monotonic() - began
        idle = await room.until_deployment(lambda each: leased_until(each) is None)  # its router has given its lease up
        assert idle.status.loaded_at
        asked = time.monotonic()
        waits = max(0.0, idle.status.loaded_at.timestamp() + MIN_RESIDENCY - time.time())
        await ask(room, "two")
        second = time.monotonic() - asked - waits
    assert [each.spec.model for each in await room.deployments()] == ["/models/two"]
    print(f"the first model answered after {first:.1f} s, the second {second:.1f} s after the first could leave for it")
    print(f"since the second was asked ({waits:.1f} s too early): {seen.steps_since(asked)}")


async def test_a_model_that_streams_is_waited_for_and_the_waiter_sees_its_place(room: Release) -> None:
    await ask(room, "one")
    stream = await room.openai().chat.completions.create(
        model="one",
        messages=user("Tell me a long story."),
        max_tokens=400,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    await anext(stream)
    waiting = asyncio.create_task(comments_until_answer(room, "two"))
    finish = None
    async for chunk in stream:
        finish = chunk.choices[0].finish_reason or finish
    assert finish == "length", "the stream was cut"
    said = await waiting
    assert any("one" in line and "gpu" in line for line in said), said


async def comments_until_answer(berth: Release, model: str) -> list[str]:
    """The comments on a cold stream, once its answer has come whole."""
    body = {"model": model, "messages": CAPITAL, "max_tokens": 8, "stream": True}
    said: list[str] = []
    async for line in berth.lines("/v1/chat/completions", body):
        if line.startswith(":"):
            said.append(line)
        if line == "data: [DONE]":
            return said
    raise AssertionError(f"the stream broke off after {said}")


async def test_everybody_is_served_whatever_they_ask(room: Release) -> None:
    """`ROOM_SECONDS` sets how long it lasts."""
    async with (
        switches(room.cluster) as seen,
        crowd(room, "three models, one GPU", models=MODELS, clients=6) as clients,
    ):
        await asyncio.sleep(float(os.environ.get("ROOM_SECONDS", "20")))
        await clients.served(1)
    print(f"{seen}; the longest wait for an answer: {clients.tally.longest:.1f} s, of at most {LONGEST_WAIT:.0f}")
    assert set(clients.tally.counts) == {Outcome.WHOLE}, str(clients.tally)
    assert seen.seconds, "models changed places"
    assert clients.tally.longest <= LONGEST_WAIT, "somebody starved"


@pytest.mark.parametrize("component", ["operator", "router"])
async def test_who_is_killed_in_the_middle_of_an_eviction_loses_nothing(room: Release, component: str) -> None:
    await ask(room, "one")
    asking = asyncio.create_task(ask(room, "two"))
    await room.until_deployment(lambda each: each.status.eviction is not None or each.status.queue is not None)
    [pod, *_] = room.pods_of(component)
    room.kill_9(pod, f"berth-{component}")
    if component == "operator":
        assert await asking
    else:
        await asyncio.gather(asking, return_exceptions=True)  # the one that was killed may have had it
        await room.until_restarted(pod)  # until its end is known, the Service sends connections to it
        assert await ask(room, "two")
    assert await ask(room, "one")
