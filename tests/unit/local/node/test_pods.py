"""Pods with real processes: what their status tells, and when they go."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import LABEL_DEPLOYMENT, PODS, NotFoundError, Object
from berth_local.node.admission import Ports, pod_admission
from berth_local.node.cluster import LocalCluster
from berth_local.node.engine_keys import EngineKeys
from berth_local.node.output import OutputBuffer
from berth_local.node.pods import PodRunner, Report
from berth_local.node.processes import ChildProcess, Processes


class Shell:
    """Runs the first argument as a script."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        return await self._processes.start(["sh", "-c", arguments[0]], environment, output)


class Unlaunchable:
    """Cannot start anything."""

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        raise OSError("too many processes")


class Installing:
    """Starts a program that is not here yet, and never comes."""

    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        await report("half of it is here")
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()
        raise AssertionError


class Node:
    """A cluster whose pods run."""

    def __init__(self, cluster: LocalCluster, runner: PodRunner, installing: Installing, keys: EngineKeys) -> None:
        self.cluster = cluster
        self.keys = keys
        self.installing = installing
        self.runner = runner

    async def run(
        self, script: str, image: str = "shell", grace_seconds: int = 5, more: Sequence[str] = (), **container: Any
    ) -> None:
        """Creates the pod `p`."""
        metadata = {"name": "p", "labels": {LABEL_DEPLOYMENT: "smol"}}
        containers = [
            {
                "name": "engine",
                "image": image,
                "args": [script, *more],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                **container,
            }
        ]
        spec = {"containers": containers, "terminationGracePeriodSeconds": grace_seconds}
        await self.cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def until(self, condition: Callable[[Object], bool]) -> Object:
        """The pod, once it meets the condition."""
        async with asyncio.timeout(20):
            while True:
                since = (await self.cluster.list(PODS)).resource_version
                pod = await self.cluster.get(PODS, "p")
                if condition(pod):
                    return pod
                await anext(self.cluster.watch(PODS, since))

    async def gone(self) -> None:
        """Returns once there is no pod."""
        with suppress(NotFoundError):
            await self.until(lambda _: False)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    ports = Ports()
    cluster = LocalCluster({PODS.plural: pod_admission(ports)})
    async with Processes() as processes:
        installing = Installing()
        images = {"shell": Shell(processes), "unlaunchable": Unlaunchable(), "installing": installing}
        keys = EngineKeys()
        runner = PodRunner(cluster, images, tmp_path / "models", tmp_path, ports, keys)
        running = asyncio.create_task(runner.run())
        yield Node(cluster, runner, installing, keys)
        running.cancel()
        await runner.close()


async def test_each_start_of_an_engine_has_a_key_of_its_own_for_as_long_as_it_runs(node: Node) -> None:
    keys: list[str | None] = []
    for _ in range(2):
        await node.run("printf %s $BERTH_ENGINE_KEY; exit 3", ports=[{"name": "http", "containerPort": 8000}])
        pod = await node.until(lambda pod: "terminated" in state(pod))
        endpoint = f"http://127.0.0.1:{pod['spec']['containers'][0]['ports'][0]['containerPort']}"
        keys.append(node.keys.of(endpoint))
        assert state(pod)["terminated"].pop("message") == keys[-1], "what the engine has is what the router sends"
        assert str(keys[-1]) not in str(pod)
        await node.cluster.delete(PODS, "p")
        await node.gone()
        assert node.keys.of(endpoint) is None
    assert all(keys)
    assert keys[0] != keys[1]


async def test_what_is_no_engine_gets_no_key(node: Node) -> None:
    await node.run("printf %s ${BERTH_ENGINE_KEY-none}; exit 3")
    pod = await node.until(lambda pod: "terminated" in state(pod))
    assert state(pod)["terminated"]["message"] == "none"


def state(pod: Object) -> Object:
    statuses: list[Any] = pod.get("status", {}).get("containerStatuses", [])
    return statuses[0]["state"] if statuses else {}


def phase(pod: Object) -> str:
    return pod.get("status", {}).get("phase", "")


async def test_a_pod_that_runs_says_where(node: Node) -> None:
    await node.run("sleep 1000", ports=[{"name": "http", "containerPort": 8000}])
    pod = await node.until(lambda pod: phase(pod) == "Running")
    assert pod["status"]["podIP"] == "127.0.0.1"
    assert "startedAt" in state(pod)["running"]
    assert pod["spec"]["nodeName"]


@pytest.mark.parametrize(
    ("script", "terminated"),
    [
        ("echo one; echo two; exit 3", {"exitCode": 3, "reason": "Error", "message": "one\ntwo"}),
        ("kill -9 $$", {"exitCode": 137, "reason": "Error"}),
        (
            'echo noise; printf "ModelNotFound: no" > "$BERTH_TERMINATION_LOG"; exit 66',
            {"exitCode": 66, "message": "ModelNotFound: no"},
        ),
        ("exit 0", {"exitCode": 0, "reason": "Completed"}),
    ],
)
async def test_a_pod_that_ended_says_how(node: Node, script: str, terminated: Object) -> None:
    await node.run(script)
    pod = await node.until(lambda pod: phase(pod) in ("Failed", "Succeeded"))
    assert phase(pod) == ("Failed" if terminated["exitCode"] else "Succeeded")
    assert state(pod)["terminated"].items() >= terminated.items()


async def test_a_pod_runs_where_somebody_has_deleted_the_scratch_folder(node: Node, tmp_path: Path) -> None:
    await asyncio.to_thread(tmp_path.rmdir)
    await node.run('printf "ModelNotFound: no" > "$BERTH_TERMINATION_LOG"; exit 66')
    pod = await node.until(lambda pod: phase(pod) == "Failed")
    assert state(pod)["terminated"]["message"] == "ModelNotFound: no"


async def test_a_pod_that_cannot_have_a_scratch_file_says_why(node: Node, tmp_path: Path) -> None:
    await asyncio.to_thread(tmp_path.rmdir)
    await asyncio.to_thread(tmp_path.write_text, "in the way")
    await node.run("exit 0")
    pod = await node.until(lambda pod: phase(pod) == "Failed")
    assert state(pod)["terminated"]["message"].startswith(f"NotStarted: {tmp_path} cannot be written to: ")


async def test_of_an_engine_that_fails_on_a_broken_file_the_file_is_told(node: Node, tmp_path: Path) -> None:
    model = tmp_path / "models" / "cut-off"
    model.mkdir(parents=True)
    (model / "m.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(7))
    await node.run("echo loading; echo failed; exit 1", more=("--model", "/models/cut-off"))
    pod = await node.until(lambda pod: phase(pod) == "Failed")
    said = "m.gguf ends after 15 bytes, in the middle of its header: the download did not finish"
    assert state(pod)["terminated"]["message"] == f"WrongFormat: {said}"


@pytest.mark.parametrize(
    ("image", "why"), [("unlaunchable", "too many processes"), ("absent", "no absent on this machine")]
)
async def test_a_program_that_cannot_be_started_says_why(node: Node, image: str, why: str) -> None:
    await node.run("true", image=image)
    pod = await node.until(lambda pod: phase(pod) == "Failed")
    assert state(pod)["terminated"]["exitCode"] == 127
    assert state(pod)["terminated"]["message"].startswith("NotStarted: ")
    assert why in state(pod)["terminated"]["message"]
    await node.cluster.delete(PODS, "p")
    await node.gone()


async def test_a_pod_whose_program_is_still_to_come_says_how_far_it_is_and_goes_when_it_is_deleted(node: Node) -> None:
    await node.run("true", image="installing")
    pod = await node.until(lambda pod: state(pod)["waiting"]["message"] != "the engine is being started")
    assert phase(pod) == "Pending"
    assert state(pod)["waiting"] == {"reason": "ContainerCreating", "message": "half of it is here"}
    await node.cluster.delete(PODS, "p")
    await node.gone()
    await asyncio.wait_for(node.installing.given_up.wait(), 20)


async def test_a_deleted_pod_goes_after_its_process(node: Node, tmp_path: Path) -> None:
    farewell = tmp_path / "farewell"
    await node.run(f"trap 'echo bye > {farewell}; exit' TERM; echo up; while :; do sleep 0.01; done")
    await node.until(lambda pod: phase(pod) == "Running")
    async with asyncio.timeout(20):
        output = node.runner.output("smol")
        assert output
        await anext(output.follow())
    await node.cluster.delete(PODS, "p")
    await node.gone()
    assert farewell.read_text() == "bye\n"


HANGS = "echo up; kill -STOP $$"
"""SIGTERM does nothing to it."""
FOR_EVER = 100_000


async def hanging(node: Node) -> None:
    await node.run(HANGS, grace_seconds=FOR_EVER)
    await node.until(lambda pod: phase(pod) == "Running")
    async with asyncio.timeout(20):
        output = node.runner.output("smol")
        assert output
        await anext(output.follow())


async def test_a_process_that_hangs_is_killed_when_the_grace_is_over_that_its_deletion_names(node: Node) -> None:
    await hanging(node)
    await node.cluster.delete(PODS, "p", grace_seconds=1)
    await node.gone()


async def test_who_deletes_it_again_can_leave_it_less_time(node: Node) -> None:
    await hanging(node)
    await node.cluster.delete(PODS, "p")
    await node.until(lambda pod: pod["metadata"].get("deletionGracePeriodSeconds") == FOR_EVER)
    await node.cluster.delete(PODS, "p", grace_seconds=0)
    await node.gone()


async def test_a_pod_that_has_ended_stays_until_it_is_deleted(node: Node) -> None:
    await node.run("exit 1")
    await node.until(lambda pod: phase(pod) == "Failed")
    await node.cluster.delete(PODS, "p")
    await node.gone()


async def test_a_pod_that_is_deleted_before_it_ran_leaves_nothing(node: Node) -> None:
    await node.run("sleep 1000")
    await node.cluster.delete(PODS, "p")
    await node.gone()
    await node.run("exit 7")
    assert state(await node.until(lambda pod: phase(pod) == "Failed"))["terminated"]["exitCode"] == 7


async def test_output_of_all_pods_of_a_deployment_is_kept_together(node: Node) -> None:
    for word in ("one", "two"):
        await node.run(f"echo {word}; exit 1")
        await node.until(lambda pod: phase(pod) == "Failed")
        await node.cluster.delete(PODS, "p")
        await node.gone()
    output = node.runner.output("smol")
    assert output
    assert output.lines() == ["one", "two"]


async def test_secrets_of_this_process_are_not_the_pods(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "BERTH_API_KEY", "secret")
    await node.run('echo "key: $BERTH_API_KEY"; exit 1')
    assert state(await node.until(lambda pod: phase(pod) == "Failed"))["terminated"]["message"] == "key: "
