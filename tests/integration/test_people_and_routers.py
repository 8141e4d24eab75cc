"""Who may do what, by the API server's word: people with Kubernetes' own roles, and the routers of a release."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cluster.cluster import MODEL_DEPLOYMENTS, ForbiddenError, InvalidError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import missing
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.waiting import PATIENCE_SECONDS, until

CHART = Path(__file__).resolve().parents[2] / "charts/berth"
PARTS = ("router/rbac.yaml", "router/admission-policy.yaml", "user-roles.yaml")
ENTRY = {"lastActivity": "2026-01-01T00:00:00Z", "keepUntil": "2026-01-01T00:00:00Z"}
LOOK, CHANGE = {"get", "list", "watch"}, {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture
def rights(namespace: Kubectl) -> Iterator[Kubectl]:
    """A namespace with the release's rights, and nothing else of it."""
    if shutil.which("helm") is None:
        missing("helm", 'eval "$(scripts/cluster env)" has one, or install it')
    shown = [argument for part in PARTS for argument in ("--show-only", f"templates/{part}")]
    command = ["helm", "template", "berth", str(CHART), "--namespace", namespace.namespace, *shown]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    manifests = [each for each in yaml.safe_load_all(rendered) if each]
    namespace.apply(*manifests)
    yield namespace
    for each in manifests:
        if each["kind"].startswith(("Cluster", "Validating")):
            namespace.run("delete", f"{each['kind'].lower()}/{each['metadata']['name']}", "--wait=false")


@pytest.fixture
def kubeconfig_of_a_router(rights: Kubectl, tmp_path: Path) -> Path:
    """What `KubernetesCluster` takes, with the token of the routers' service account."""
    config: dict[str, Any] = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    [context] = [each["context"] for each in config["contexts"] if each["name"] == config["current-context"]]
    context["user"] = "router"
    config["users"] = [{"name": "router", "user": {"token": rights.run("create", "token", "berth-router").strip()}}]
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    return tmp_path / "kubeconfig"


@pytest.fixture
async def router(rights: Kubectl, kubeconfig_of_a_router: Path) -> AsyncIterator[KubernetesCluster]:
    """The cluster as a router has it."""
    connected = await KubernetesCluster.connect(rights.namespace, str(kubeconfig_of_a_router), program="berth-router")
    yield connected
    await connected.close()


async def test_kubernetes_own_roles_include_both_kinds(rights: Kubectl) -> None:
    roles = {"view": LOOK, "edit": LOOK | CHANGE, "admin": LOOK | CHANGE}
    for role in roles:
        rights.run("create", "rolebinding", role, f"--clusterrole={role}", f"--user=has-{role}")
    for role, verbs in roles.items():
        # Kubernetes adds up its roles in a moment, after the parts of them are there.
        await until(
            lambda role=role, verbs=verbs: (
                allowed(rights, role, "modeldeployments") == allowed(rights, role, "modeldownloads") == verbs
            )
        )
        assert "patch" not in allowed(rights, role, "modeldeployments/status")


def allowed(kubectl: Kubectl, role: str, resource: str) -> set[str]:
    """The verbs of the user who has the role."""
    rows = kubectl.run("auth", "can-i", "--list", f"--as=has-{role}").splitlines()
    verbs = [re.findall(r"[a-z]+", row.rsplit("[", 1)[1]) for row in rows if row.startswith(f"{resource}.berth.dev ")]
    return {verb for each in verbs for verb in each}


async def test_a_router_writes_its_activity_and_nothing_else(
    rights: Kubectl, router: KubernetesCluster, cluster: KubernetesCluster
) -> None:
    await refused(router, rights)
    created = await router.create(MODEL_DEPLOYMENTS, manifest(idle={"ttlSeconds": 60, "action": "Delete"}))
    name = created["metadata"]["name"]
    await cluster.patch_status(MODEL_DEPLOYMENTS, name, {"phase": "Ready", "endpoint": "http://10.0.0.1:8080"})

    written = await router.patch_status(MODEL_DEPLOYMENTS, name, {"activity": {"one": ENTRY}})
    assert written["status"]["activity"]["one"]["inFlight"] == 0
    for wrong in ({"endpoint": "http://10.0.0.2"}, {"phase": None}, {"podName": "x", "activity": {"one": None}}):
        with pytest.raises((InvalidError, ForbiddenError), match="of a deployment's status a router writes activity"):
            await router.patch_status(MODEL_DEPLOYMENTS, name, wrong)
    with pytest.raises(ForbiddenError):
        await router.patch(MODEL_DEPLOYMENTS, name, {"spec": {"idle": {"ttlSeconds": 1}}})
    status = (await cluster.get(MODEL_DEPLOYMENTS, name))["status"]
    assert (status["phase"], status["endpoint"]) == ("Ready", "http://10.0.0.1:8080")

    managers = {each["manager"] for each in written["metadata"]["managedFields"]}
    assert managers == {"berth-router", "berth"}
    await router.delete(MODEL_DEPLOYMENTS, name)


async def refused(router: KubernetesCluster, rights: Kubectl) -> None:
    """Returns when the policy is in force, as it is a moment after it was applied."""
    wrong = manifest(nodeSelector={"a": "b"})
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (told := await refusal(router, wrong)):
            rights.run("delete", "md", wrong["metadata"]["name"])
    assert "a router creates deployments of a model" in told


async def refusal(router: KubernetesCluster, wrong: dict[str, Any]) -> str:
    try:
        await router.create(MODEL_DEPLOYMENTS, wrong)
    except (InvalidError, ForbiddenError) as error:
        return str(error)
    return ""
