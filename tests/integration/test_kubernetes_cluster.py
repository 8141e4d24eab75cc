"""The Cluster interface over a real API server: what is Kubernetes' own.

What every Cluster does is in tests/unit/local/node/test_cluster_contract.py, which runs on Kubernetes too.
"""

from typing import Any

import pytest

from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    PODS,
    ClusterError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    Kind,
    Object,
    UnavailableError,
)
from berth_cluster.kubernetes_cluster import KubernetesCluster

QUOTAS = Kind("v1", "ResourceQuota", "resourcequotas")


async def test_a_version_that_is_too_old_is_told_apart(cluster: KubernetesCluster) -> None:
    with pytest.raises((ExpiredError, UnavailableError)) as refusal:
        async for _ in cluster.watch(MODEL_DEPLOYMENTS, "1"):
            pass
    assert isinstance(refusal.value, ExpiredError)


async def test_a_pod_is_judged_by_what_it_is_and_not_by_the_room_that_there_is(cluster: KubernetesCluster) -> None:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "containers": [{"name": "engine", "image": "engine", "securityContext": restricted}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "smol"}, "spec": spec}
    await cluster.judge(PODS, pod)
    faults: list[tuple[Object, type[ClusterError]]] = [
        ({"affinity": {"nodeAfinity": {}}}, InvalidError),
        ({"containers": []}, InvalidError),
        ({"hostNetwork": True}, ForbiddenError),  # the namespace's pod security standard
    ]
    for wrong, error in faults:
        with pytest.raises(error):
            await cluster.judge(PODS, {**pod, "spec": {**spec, **wrong}})
    quota: Object = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    await cluster.create(QUOTAS, quota)
    await cluster.patch_status(QUOTAS, "none", {**quota["spec"], "used": {"pods": "0"}})

    async def create_until_it_counts() -> None:
        while True:
            await cluster.create(PODS, pod)
            await cluster.delete(PODS, "smol", grace_seconds=0)

    with pytest.raises(ForbiddenError, match="exceeded quota"):
        await create_until_it_counts()
    await cluster.judge(PODS, pod)
    assert not (await cluster.list(PODS)).items


@pytest.mark.parametrize(
    ("kind", "served"),
    [
        (MODEL_DEPLOYMENTS, True),
        (Kind("berth.dev/v1alpha1", "Other", "others"), False),
        (Kind("nobody.example.com/v1", "ModelDeployment", "modeldeployments"), False),
    ],
)
async def test_a_kind_without_a_definition_is_not_served(
    cluster: KubernetesCluster, kind: Kind, *, served: bool
) -> None:
    assert await cluster.serves(kind) is served


async def test_without_an_api_server_it_says_so(tmp_path: Any) -> None:
    with pytest.raises(UnavailableError):
        await KubernetesCluster.connect("default", str(tmp_path / "kubeconfig"))
