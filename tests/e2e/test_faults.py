"""What clients notice of faults, planned and unplanned, while thirty of them ask without a pause."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.e2e.crowd import Crowd, Outcome, crowd
from tests.e2e.release import RELEASE, ROOT, Release

API_SERVER_PID = Path("/run/berth-cluster/apiserver.pid")
"""Of the test cluster of scripts/cluster. In another cluster its API server is nobody's to stop."""

STOPPED_SECONDS = 20
API_SERVER_SECONDS = 30


@pytest.fixture
def api_server() -> int:
    """The API server's process."""
    if not API_SERVER_PID.exists():
        pytest.skip("the API server is not of scripts/cluster, and so not to be stopped")
    return int(API_SERVER_PID.read_text())


@contextmanager
def stopped(pids: list[int]) -> Generator[None]:
    """The processes stand still while this is open, as those of an overloaded or broken machine do."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # the operator has replaced it
                os.kill(pid, signal.SIGCONT)


def nothing_lost(clients: Crowd) -> None:
    assert clients.tally.counts[Outcome.LOST] == 0, str(clients.tally)


def nothing_failed(clients: Crowd) -> None:
    assert clients.tally.failed == 0, str(clients.tally)


# -- unplanned: nothing is lost


async def test_a_router_that_is_killed(berth: Release) -> None:
    async with crowd(berth, "kill -9 of a router") as clients:
        berth.kill_9(berth.pods_of("router")[0], "berth-router")
        await clients.served()
    nothing_lost(clients)


async def test_an_operator_that_is_killed_costs_nothing(berth: Release) -> None:
    async with crowd(berth, "kill -9 of the operator") as clients:
        berth.kill_9(berth.pods_of("operator")[0], "berth-operator")
        await clients.served(4)
    nothing_failed(clients)


async def test_an_engine_that_is_killed(berth: Release) -> None:
    async with crowd(berth, "kill -9 of the engine") as clients:
        [pod] = await berth.engine_pods()
        berth.kill_9(pod, "llama-server")
        await clients.served()
    nothing_lost(clients)


async def test_an_engine_that_stands_still_for_a_while_costs_nothing(berth: Release) -> None:
    async with crowd(berth, f"SIGSTOP of the engine for {STOPPED_SECONDS} s") as clients:
        [pod] = await berth.engine_pods()
        with stopped(berth.processes(pod, "llama-server")):
            await asyncio.sleep(STOPPED_SECONDS)  # the fault itself takes this long
        await clients.served()
    nothing_failed(clients)
    assert [each["metadata"]["uid"] for each in await berth.engine_pods()] == [pod["metadata"]["uid"]]


async def test_an_engine_that_stands_still_for_ever_is_told_and_replaced(berth: Release) -> None:
    async with crowd(berth, "SIGSTOP of the engine for ever") as clients:
        [pod] = await berth.engine_pods()
        with stopped(berth.processes(pod, "llama-server")):
            hung = await berth.until_deployment(lambda each: each.status.last_failure is not None)
            await clients.served()
    nothing_lost(clients)
    assert hung.status.last_failure is not None
    assert hung.status.last_failure.reason == "EngineHung"


async def test_an_api_server_that_stands_still_costs_nothing(berth: Release, api_server: int) -> None:
    async with crowd(berth, f"SIGSTOP of the API server for {API_SERVER_SECONDS} s") as clients:
        with stopped([api_server]):
            await asyncio.sleep(API_SERVER_SECONDS)
        await clients.served()
    nothing_failed(clients)


# -- planned: nothing fails


async def test_an_engine_pod_that_is_deleted(berth: Release) -> None:
    async with crowd(berth, "an engine pod deleted") as clients:
        [pod] = await berth.engine_pods()
        berth.kubectl.run("delete", "pod", pod["metadata"]["name"], "--wait=false")
        await berth.until_deployment(lambda each: each.status.attempt > 1 and each.status.phase == "Ready")
        await clients.served()
    nothing_failed(clients)


async def test_a_deployment_that_is_deleted(berth: Release) -> None:
    async with crowd(berth, "a ModelDeployment deleted") as clients:
        [before] = await berth.deployments()
        await berth.cluster.delete(MODEL_DEPLOYMENTS, before.name)
        await berth.until_deployment(lambda each: each.uid != before.uid and each.status.phase == "Ready")
        await clients.served()
    nothing_failed(clients)


async def test_a_node_that_is_drained_of_engines(berth: Release) -> None:
    """Of a cluster of one node: the engine's pod is evicted, and its successor has no node until the drain is over."""
    [node] = [item["metadata"]["name"] for item in berth.kubectl.json("get", "nodes")["items"]]
    async with crowd(berth, "a node drained") as clients:
        [pod] = await berth.engine_pods()
        try:
            selector = f"app.kubernetes.io/name={pod['metadata']['labels']['app.kubernetes.io/name']}"
            await asyncio.to_thread(berth.kubectl.run, "drain", node, "--pod-selector", selector)
        finally:
            berth.kubectl.run("uncordon", node)
        await berth.until_deployment(lambda each: each.status.attempt > 1 and each.status.phase == "Ready")
        await clients.served()
    nothing_failed(clients)


@pytest.mark.parametrize("component", ["router", "operator"])
async def test_a_rollout(berth: Release, component: str) -> None:
    async with crowd(berth, f"rollout restart of the {component}") as clients:
        berth.kubectl.run("rollout", "restart", f"deployment/{RELEASE}-{component}")
        await asyncio.to_thread(
            berth.kubectl.run, "rollout", "status", f"deployment/{RELEASE}-{component}", "--timeout=170s", seconds=180
        )
        await clients.served()
        await berth.until_gone(component)
        await clients.served()
    nothing_failed(clients)


async def test_a_helm_upgrade(berth: Release) -> None:
    async with crowd(berth, "helm upgrade") as clients:
        changed = [f"{part}.podAnnotations.changed=at-{os.getpid()}" for part in ("router", "operator")]
        await asyncio.to_thread(_upgrade, berth, *changed)
        await clients.served()
        await berth.until_gone("router")
        await clients.served()
    nothing_failed(clients)


async def test_routers_that_come_and_go(berth: Release) -> None:
    async with crowd(berth, "routers 2, 4, 1, 2") as clients:
        for replicas in (4, 1, 2):
            berth.kubectl.run("scale", f"deployment/{RELEASE}-router", f"--replicas={replicas}")
            await asyncio.to_thread(
                berth.kubectl.run, "rollout", "status", f"deployment/{RELEASE}-router", "--timeout=170s", seconds=180
            )
            await clients.served()
            await berth.until_gone("router")
        await clients.served()
    nothing_failed(clients)


def _upgrade(berth: Release, *values: str) -> None:
    settings = [argument for value in values for argument in ("--set-string", value)]
    command = [
        "helm",
        "upgrade",
        RELEASE,
        str(ROOT / "charts/berth"),
        "--namespace",
        berth.kubectl.namespace,
        "--reuse-values",
    ]
    done = subprocess.run(
        [*command, "--wait", "--timeout", "3m", *settings], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
