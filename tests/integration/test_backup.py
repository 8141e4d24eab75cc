"""The page about backup and restore: its commands, run as they are there, against a cluster that lost all."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import LABEL_DEPLOYMENT, LABEL_MANAGED_BY, PODS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_router import MANAGER
from tests.conftest import missing
from tests.integration import test_download_reconciler as downloads
from tests.integration.test_reconciler import NOWHERE, Operator
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/backup.md"

# There is no node here: what the page does in the router's pod is done in a folder, and no pod becomes ready.
KUBECTL_WITHOUT_NODES = """\
kubectl() {
  case " $* " in
    *" exec "*) while [[ $1 != -- ]]; do shift; done; shift; "${@/#\\/models/$STORE}" ;;
    *" rollout "*) ;;
    *) command kubectl "$@" ;;
  esac
}
images=()
"""
SETTINGS = "--set router.replicas=3 --set modelStore.existingClaim=none"
"""Where there is a node after all, pods wait for a claim that is not there."""
ASLEEP = manifest(
    idle={"startAsleep": True, "ttlSeconds": 60},
    llamacpp={"contextSize": 4096},
    pod={"labels": {"uid": "x"}, "env": [{"name": "A", "value": "b"}]},
)
AWAKE = manifest(**NOWHERE, idle={"ttlSeconds": 0})
ROUTERS = manifest(model="/models/Other", **NOWHERE, idle={"ttlSeconds": 0, "action": "Delete"})


class Saved:
    """A release on an API server without nodes, with a folder as its store."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self.kubectl = kubectl
        self.store = folder / "store"
        self._folder = folder

    def run(self, heading: str) -> None:
        """Runs the commands below a heading of the page."""
        [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        commands = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
        commands = commands.replace("helm test berth --namespace berth --logs\n", "")  # it needs a node
        commands = commands.replace("create namespace berth", f"create namespace {self.kubectl.namespace}")
        self.shell(commands.replace("--namespace berth ", f"--namespace {self.kubectl.namespace} "))

    def shell(self, commands: str) -> None:
        """Runs commands in the folder of the backup, with the checkout's chart beside."""
        script = f"set -euo pipefail\n{KUBECTL_WITHOUT_NODES}{commands}"
        environment = os.environ | {"STORE": str(self.store)}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def put(self, name: str, item: dict[str, Any], **metadata: Any) -> None:
        """Applies an object under this name, as a person does."""
        self.kubectl.apply({**item, "metadata": {"name": name, **metadata}})

    def declared(self) -> dict[str, Any]:
        """Labels, annotations and spec of every object of Berth's, by kind and name. What kubectl notes is its own."""
        items = self.kubectl.json("get", "md,mdl")["items"]
        return {
            f"{each['kind']}/{each['metadata']['name']}": (
                each["metadata"].get("labels"),
                each["metadata"]["annotations"].keys() - {"kubectl.kubernetes.io/last-applied-configuration"},
                each["spec"],
            )
            for each in items
        }

    def secrets(self) -> dict[str, Any]:
        """What each of the release's Secrets has."""
        names = ("berth-api-keys", "berth-engine-keys")
        assert all(f"`{name}`" in PAGE.read_text() for name in names)
        return {name: self.kubectl.json("get", "secret", name)["data"] for name in names}

    def models(self) -> dict[str, bytes]:
        """The files in the store."""
        files = [path for path in self.store.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.store)): path.read_bytes() for path in files}

    def lose_everything(self) -> None:
        """Deletes the namespace with all that is in it, and the models."""
        self.kubectl.run("delete", "namespace", self.kubectl.namespace, "--timeout=90s")
        shutil.rmtree(self.store)
        self.store.mkdir()


@pytest.fixture
def release(namespace: Kubectl, tmp_path: Path) -> Iterator[Saved]:
    """Installed, and with models."""
    if shutil.which("helm") is None:
        missing("helm", 'eval "$(scripts/cluster env)" has one, or install it')
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    saved = Saved(namespace, tmp_path)
    for file in ("SmolLM2/model.gguf", "SmolLM2/.berth-manifest.json", ".berth/compiled/x", ".staging/part"):
        (saved.store / file).parent.mkdir(parents=True, exist_ok=True)
        (saved.store / file).write_text(file)
    saved.shell(f"helm install berth charts/berth --namespace {namespace.namespace} {SETTINGS}")
    yield saved
    saved.shell(f"helm uninstall berth --namespace {namespace.namespace} --no-hooks")


async def test_after_a_restore_into_an_empty_cluster_nothing_is_lost(
    release: Saved, cluster: KubernetesCluster
) -> None:
    release.put("asleep", ASLEEP, labels={"team": "ml"}, annotations={"example.com/owner": "a"})
    release.put("awake", AWAKE)
    release.put("fetched", downloads.manifest(destination="SmolLM2"))
    async with Operator(cluster):
        await until(lambda: (phase(release, "asleep"), has_pod(release, "awake")) == ("Sleeping", True))
    declared, secrets = release.declared(), release.secrets()
    release.put("made-by-a-router", ROUTERS, labels={LABEL_MANAGED_BY: MANAGER})

    release.run("Save it")
    release.lose_everything()
    release.run("Restore it")

    assert release.declared() == declared
    assert release.secrets() == secrets, "the chart made keys of its own"
    assert release.kubectl.json("get", "deployment", "berth-router")["spec"]["replicas"] == 3
    assert release.models() == {
        "SmolLM2/model.gguf": b"SmolLM2/model.gguf",
        "SmolLM2/.berth-manifest.json": b"SmolLM2/.berth-manifest.json",
    }
    assert phase(release, "asleep") is None, "no status comes from the backup"
    async with Operator(cluster), downloads.Operator(cluster, None, "fetched"):
        await until(lambda: (phase(release, "asleep"), has_pod(release, "awake")) == ("Sleeping", True))
        await downloads.until(cluster, lambda each: each.status.job_name is not None, "fetched")
    awake = {pod["metadata"]["labels"].get(LABEL_DEPLOYMENT) for pod in (await cluster.list(PODS)).items} - {None}
    assert awake == {"awake"}


def phase(release: Saved, name: str) -> str | None:
    """Where the deployment is in its life."""
    return release.kubectl.json("get", "md", name).get("status", {}).get("phase")


def has_pod(release: Saved, name: str) -> bool:
    """Whether the deployment names a pod."""
    return "podName" in release.kubectl.json("get", "md", name).get("status", {})
