"""What a release may do is what it does: all its roles, beside what the API server wrote down of its requests.

The log has all releases of this run of the cluster: what other tests had them do counts too.
"""

import json
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace, missing
from tests.e2e.release import MODEL, RELEASE, Release, install, user
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.waiting import until

Grant = tuple[str, str]
"""A resource, with its subresource, and a verb."""

ANYWHERE = "*/"
"""Before a resource that is asked for beyond a namespace."""

OPERATOR, ROUTER, UNINSTALL = f"{RELEASE}-operator", f"{RELEASE}-router", f"{RELEASE}-uninstall"
OF_DOWNLOADS = {"modeldownloads", "modeldownloads/status", "jobs"}
"""Resources that only the tests of downloads make use of."""

SELDOM: dict[str, dict[Grant, str]] = {
    OPERATOR: {
        ("modeldeployments", "get"): "one that was changed between its reading and a write is read again",
        ("pods", "get"): "one that was changed meanwhile, or whose name somebody has taken",
        ("pods", "delete"): "an engine that sleeps, failed or is replaced; what an idle one leaves goes with its owner",
        ("jobs", "get"): "one that an operator made which was killed before it knew",
        ("events", "get"): "one that an earlier operator wrote is counted up",
        ("modeldownloads", "delete"): "the record of a download that is long over",
        ("leases", "create"): "the chart's own was deleted",
    },
    ROUTER: {
        ("modeldeployments", "get"): "one that another router made or changed at the same moment",
        ("modeldownloads", "delete"): "a download that a client cancels",
    },
    UNINSTALL: {
        ("modeldownloads", "delete"): "a download that was at work when the release went",
    },
}
"""What a run need not have used, and what it is for."""


@pytest.fixture
async def asked_for_all(test_cluster: Kubectl, images: dict[str, str], release: Release) -> AsyncIterator[Release]:
    """A release with every value that gives it another right. The test uninstalls it, if it comes so far."""
    del release  # its models are used
    namespace = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    installed = install(namespace, images, "router.replicas=1", "operator.replicas=2", "operator.room.watchNodes=true")
    cluster = await KubernetesCluster.connect(namespace.namespace)
    installed.watch_with(cluster)
    yield installed
    await installed.close_clients()
    await cluster.close()
    if helm(installed, "list", "--short").strip():
        installed.uninstall()


def helm(berth: Release, *arguments: str) -> str:
    """What helm says of the release."""
    command = ["helm", "--namespace", berth.kubectl.namespace, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def granted(berth: Release) -> dict[str, set[Grant]]:
    """By service account: what all roles of the release say, those of its hooks included."""
    text = "\n".join(helm(berth, "get", part, RELEASE) for part in ("manifest", "hooks"))
    manifests: list[dict[str, Any]] = [item for item in yaml.safe_load_all(text) if item]
    rules = {
        (item["kind"], item["metadata"]["name"]): _grants(item.get("rules") or [], item["kind"])
        for item in manifests
        if item["kind"] in ("Role", "ClusterRole")
    }
    found: dict[str, set[Grant]] = {OPERATOR: set(), ROUTER: set(), UNINSTALL: set()}
    for item in manifests:
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            [subject], role = item["subjects"], item["roleRef"]
            found[subject["name"]] |= rules[role["kind"], role["name"]]
    return found


def _grants(rules: Iterable[dict[str, Any]], kind: str) -> set[Grant]:
    where = ANYWHERE if kind == "ClusterRole" else ""
    return {(where + resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def used(log: Path) -> dict[str, set[Grant]]:
    """By service account: what it asked for and was not refused."""
    found: dict[str, set[Grant]] = {OPERATOR: set(), ROUTER: set(), UNINSTALL: set()}
    for line in log.read_text().splitlines():
        if not line.endswith("}"):
            continue  # it is being written
        event: dict[str, Any] = json.loads(line)
        account = event["user"]["username"].rsplit(":", 1)[-1]
        target: dict[str, str] = event.get("objectRef") or {}
        if account not in found or "resource" not in target or event.get("responseStatus", {}).get("code") == 403:
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        found[account].add((resource if "namespace" in target else ANYWHERE + resource, event["verb"]))
    return found


async def unload(berth: Release) -> None:
    """Has the model end, as a client does."""
    status, answer, _ = await berth.post("/v1/models/unload", {"model": MODEL})
    assert status == 200, answer


async def test_nothing_is_granted_that_is_not_used(asked_for_all: Release) -> None:
    berth = asked_for_all
    path = os.environ.get("BERTH_TEST_AUDIT_LOG", "")
    if not path:
        missing("the API server's audit log", "the cluster of scripts/cluster has one")
    grants = granted(berth)
    assert all(grants.values())
    # A model starts for a request and goes when it is idle, another one when a client says so.
    body = {"model": MODEL, "messages": user("Hello"), "max_tokens": 1}
    status, answer, _ = await berth.post("/v1/chat/completions", {**body, "ttl": 1})
    assert status == 200, answer
    await berth.until(MODEL_DEPLOYMENTS, lambda objects: None if objects else True)
    await berth.post("/v1/chat/completions", body)
    await unload(berth)
    # A declared one starts, sleeps, and starts again: the same event, counted up. One is there when the release goes.
    berth.kubectl.apply(manifest(model=MODEL, llamacpp={"contextSize": 2048}))
    await berth.until_phase("Ready")
    await unload(berth)
    await berth.until_phase("Sleeping")
    await berth.post("/v1/chat/completions", body)
    await berth.post("/v1/chat/completions", {**body, "n_ctx": 4096})
    berth.uninstall()

    def unused() -> dict[str, set[Grant]]:
        log = used(Path(path))
        downloads = set[str]() if ("modeldownloads", "create") in log[ROUTER] else OF_DOWNLOADS
        left = {
            account: {
                grant for grant in grants[account] - log[account] - SELDOM[account].keys() if grant[0] not in downloads
            }
            for account in log
        }
        return {account: rest for account, rest in left.items() if rest}

    seen = unused()

    def all_used() -> bool:
        nonlocal seen
        seen = unused()
        return not seen

    try:
        await until(all_used)
    except TimeoutError as late:
        raise AssertionError(f"granted, and never used: {seen}") from late
