"""Helm's own `--wait` for a release that declares a model."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import PODS
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import missing
from tests.integration.test_reconciler import Operator, settled
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl

SECONDS = 60
"""What a wait is given that is to end well."""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart of one model, which sleeps until it is asked."""
    if shutil.which("helm") is None:
        missing("helm", 'eval "$(scripts/cluster env)" has one, or install it')
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text('{"apiVersion": "v2", "name": "models", "version": "0.1.0"}')
    declare(tmp_path, ttlSeconds=60)
    return tmp_path


def declare(chart: Path, **idle: Any) -> None:
    declared = manifest(idle={"startAsleep": True, **idle})
    (chart / "templates" / "model.yaml").write_text(json.dumps(declared))


async def helm(verb: str, chart: Path, kubectl: Kubectl, seconds: int) -> str:
    """What Helm says is wrong; empty where its wait has ended well."""
    waited = ("--wait", "--timeout", f"{seconds}s")
    helm = await asyncio.create_subprocess_exec(
        *("helm", verb, "models", str(chart), "--namespace", kubectl.namespace, *waited),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await helm.communicate()
    return said.decode() if helm.returncode else ""


async def test_a_declared_model_that_sleeps_is_done_and_one_that_nobody_has_looked_at_is_not(
    namespace: Kubectl, cluster: KubernetesCluster, chart: Path
) -> None:
    said = await helm("install", chart, namespace, 2)
    assert "not ready" in said, "no operator has looked at it"
    assert namespace.run("get", "md", "smol", "--output", "jsonpath={.status.conditions[0].status}") == "Unknown"

    async with Operator(cluster):
        assert not await helm("upgrade", chart, namespace, SECONDS)
        asleep = await settled(cluster, "Sleeping")
        declare(chart, ttlSeconds=30)
        assert not await helm("upgrade", chart, namespace, SECONDS)
        changed = await settled(cluster, "Sleeping")
    assert (asleep.spec.idle.ttl_seconds, changed.spec.idle.ttl_seconds) == (60, 30)
    assert changed.status.observed_generation == changed.generation == 2
    namespace.run("wait", "--for=condition=Ready", "md/smol", "--timeout=1s")
    assert not (await cluster.list(PODS)).items
