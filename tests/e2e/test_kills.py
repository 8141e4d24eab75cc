"""A crash of any part of Berth during a cold start costs the crashed router's own connections and no more."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Object
from tests.e2e.release import MODEL, Release, user

QUESTION = user("Hello")


CLIENTS = 10
"""Of each router."""


async def ask(berth: Release, url: str | None = None) -> tuple[int, Any]:
    """Asks once; a connection that broke counts as status 0. `url`: of one router, instead of the service's."""
    try:
        status, answer, _ = await berth.post(
            "/v1/chat/completions", {"model": MODEL, "messages": QUESTION, "max_tokens": 2}, url
        )
    except (aiohttp.ClientError, OSError) as error:
        return 0, str(error)
    return status, answer


async def test_kill_9_of_the_operator_and_of_a_router_during_a_cold_start(berth: Release) -> None:
    async with berth.counting() as seen:
        [operator] = berth.pods_of("operator")
        router, other = berth.pods_of("router")
        of_the_dead, of_the_other = (
            [asyncio.create_task(ask(berth, f"http://{pod['status']['podIP']}:8080")) for _ in range(CLIENTS)]
            for pod in (router, other)
        )
        await berth.until_deployment(lambda each: each.status.phase == "Starting")
        berth.kill_9(operator, "berth-operator")
        berth.kill_9(router, "berth-router")
        assert [status for status, _ in await asyncio.gather(*of_the_other)] == [200] * CLIENTS
        # Their connections broke. They ask again, as OpenAI's clients do by themselves.
        assert [status for status, _ in await asyncio.gather(*of_the_dead)] == [0] * CLIENTS
        again = await asyncio.gather(*(ask(berth) for _ in range(CLIENTS)))
        assert [status for status, _ in again] == [200] * CLIENTS
    assert (len(seen[MODEL_DEPLOYMENTS.plural]), len(seen[PODS.plural])) == (1, 1)
    assert len(await berth.engine_pods()) == 1
    assert other["metadata"]["name"] in [pod["metadata"]["name"] for pod in berth.pods_of("router")]


async def test_a_model_that_is_loaded_answers_while_the_operator_is_dead(berth: Release) -> None:
    assert (await ask(berth))[0] == 200
    name = (await berth.until_phase("Ready")).name
    [pod] = await berth.engine_pods()
    # Long ago, so that the time that a start may take is over.
    long_ago = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    await berth.cluster.patch_status(MODEL_DEPLOYMENTS, name, {"startRequestedAt": long_ago})
    [operator] = berth.pods_of("operator")
    berth.kill_9(operator, "berth-operator")
    assert (await ask(berth))[0] == 200
    # And the operator that comes back, and has looked at it, does not disturb it.
    changed = await berth.cluster.patch(MODEL_DEPLOYMENTS, name, {"spec": {"idle": {"ttlSeconds": 299}}})
    await berth.until_deployment(
        lambda each: (each.status.observed_generation or 0) >= changed["metadata"]["generation"]
    )
    await berth.until_phase("Ready")
    assert (await ask(berth))[0] == 200
    assert [each["metadata"]["uid"] for each in await berth.engine_pods()] == [pod["metadata"]["uid"]]


async def test_a_router_that_is_told_to_end_while_it_starts_ends(berth: Release) -> None:
    """Its first second, in which it handles no signals yet, does not make it stay for its whole grace period."""
    pod, _ = berth.pods_of("router")
    name = pod["metadata"]["name"]
    berth.kill_9(pod, "berth-router")
    await berth.until(PODS, lambda pods: True if _restarted_just_now(pods[name], pod) else None)
    berth.kubectl.run("delete", "pod", name, "--wait=false")
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    berth.kubectl.run("wait", "--for=delete", f"pod/{name}", f"--timeout={grace / 3:.0f}s")
    berth.kubectl.run("rollout", "status", "deployment/berth-router", "--timeout=60s")


def _restarted_just_now(pod: Object, before: Object) -> bool:
    [now], [then] = pod["status"]["containerStatuses"], before["status"]["containerStatuses"]
    return now["restartCount"] > then["restartCount"] and "running" in now["state"]
