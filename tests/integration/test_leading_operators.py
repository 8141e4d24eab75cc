"""Two operators, as processes, with the rights of a release: one works, and if it is killed the other one does."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cluster.cluster import LEASES, MODEL_DEPLOYMENTS, PODS, NotFoundError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import missing
from tests.integration.test_reconciler import NOWHERE
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.unit.addresses import free_port

CHART = Path(__file__).resolve().parents[2] / "charts/berth"
LEASE = "berth-operator"
TERMS = {"lasts": 3, "renewWithin": 2, "lookEvery": 0.5}
PATIENCE_SECONDS = 60


class Operators:
    """The processes, by the name of each."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str, stack: ExitStack) -> None:
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._stack = stack
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        settings = self._folder / f"{name}.yaml"
        ports = {port: free_port() for port in ("healthPort", "forecastPort")}
        election = {"lease": LEASE, **TERMS}
        engines = {"llamacpp": {"cpu": {"image": "localhost/nothing:1"}}}
        settings.write_text(json.dumps({"metricsPort": 0, **ports, "engines": engines, "election": election}))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("BERTH_")}
        own = {"BERTH_CONFIG": str(settings), "KUBECONFIG": str(self._kubeconfig), "POD_NAME": name}
        log = self._stack.enter_context((self._folder / f"{name}.log").open("a"))
        program = Path(sys.executable).with_name("berth-operator")
        self.processes[name] = subprocess.Popen([program], env=inherited | own, stdout=log, stderr=log)
        self._stack.callback(self._end, self.processes[name])

    def kill(self, name: str) -> None:
        """Ends it as a node that dies does."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(PATIENCE_SECONDS)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()


@pytest.fixture
def kubeconfig(namespace: Kubectl, tmp_path: Path) -> Path:
    """The rights of the release's operators."""
    if shutil.which("helm") is None:
        missing("helm", 'eval "$(scripts/cluster env)" has one, or install it')
    command = ["helm", "template", "berth", str(CHART), "--namespace", namespace.namespace, "--set=operator.replicas=2"]
    rendered = subprocess.run(
        [*command, "--show-only=templates/operator/rbac.yaml"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    namespace.apply(*filter(None, yaml.safe_load_all(rendered)))
    config: dict[str, Any] = namespace.json("config", "view", "--raw", "--minify")
    token = namespace.run("create", "token", "berth-operator").strip()
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": "operator", "namespace": namespace.namespace}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    return tmp_path / "kubeconfig"


@pytest.fixture
def operators(kubeconfig: Path, namespace: Kubectl, tmp_path: Path) -> Iterator[Operators]:
    with ExitStack() as stack:
        running = Operators(tmp_path, kubeconfig, namespace.namespace, stack)
        running.start("one")
        running.start("two")
        yield running


async def leader(cluster: KubernetesCluster, *, but: str = "") -> str:
    """Who leads, once somebody else does than this one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                holder: str = (await cluster.get(LEASES, LEASE))["spec"].get("holderIdentity") or ""
            except NotFoundError:
                holder = ""
            if holder not in ("", but):
                return holder
            await asyncio.sleep(0.05)


async def pods_until(cluster: KubernetesCluster, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len((await cluster.list(PODS)).items) < count:  # noqa: ASYNC110 (other processes make them)
            await asyncio.sleep(0.05)


async def test_when_the_leader_is_killed_the_other_one_goes_on(
    operators: Operators, cluster: KubernetesCluster
) -> None:
    killed = await leader(cluster)
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    await pods_until(cluster, 1)
    operators.kill(killed)
    killed_at = time.monotonic()
    second = manifest(model="/models/second", **NOWHERE)
    second["metadata"]["name"] = "second"
    await cluster.create(MODEL_DEPLOYMENTS, second)
    await pods_until(cluster, 2)
    print(f"from the kill of the leader until the other one has done its work: {time.monotonic() - killed_at:.1f} s")
    assert await leader(cluster, but=killed) in operators.processes
    assert (await cluster.get(LEASES, LEASE))["spec"]["leaseTransitions"] == 1
