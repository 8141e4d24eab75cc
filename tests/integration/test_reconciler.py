"""The operator's reconciler against a real API server, killed at every write it makes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from berth_api.identity import pod_name
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import (
    EVENTS,
    LABEL_DEPLOYMENT,
    MODEL_DEPLOYMENTS,
    PODS,
    SECRETS,
    Kind,
    Object,
    ObjectList,
    Preconditions,
    UnavailableError,
    WatchEvent,
)
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_operator.deployments.actions import ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.deployments.readiness import EngineProber
from berth_operator.deployments.reconciler import DeploymentReconciler
from berth_operator.deployments.view import DeploymentView
from berth_operator.reconciling.event_recorder import EventRecorder
from berth_operator.resources import make_event
from berth_operator.settings import OperatorSettings
from tests.integration.test_resource import manifest
from tests.kubectl import Kubectl
from tests.waiting import until

# No node has this label: pods are made and judged, but nothing runs.
NOWHERE = {"nodeSelector": {"berth.dev/no-such-node": "true"}}
SETTINGS = OperatorSettings.model_validate(
    {
        "engines": {"llamacpp": {"cpu": {"image": "localhost/nothing:1"}}},
        "timing": {"unschedulableGrace": 0, "resync": 1, "firstRetry": 0.1},
    }
)


class KilledError(BaseException):
    """The operator dies here: no handler of its own may catch that."""


class DyingCluster:
    """The real cluster. After a number of writes, it kills the operator just after the next write."""

    def __init__(self, cluster: KubernetesCluster, writes: int) -> None:
        self._cluster = cluster
        self._writes_left = writes
        self.died = asyncio.Event()

    async def get(self, kind: Kind, name: str) -> Object:
        return await self._cluster.get(kind, name)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        return await self._cluster.list(kind, labels)

    def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        return self._cluster.watch(kind, since, labels)

    async def create(self, kind: Kind, manifest: Object) -> Object:
        return self._die_or_return(await self._cluster.create(kind, manifest))

    async def judge(self, kind: Kind, manifest: Object) -> None:
        await self._cluster.judge(kind, manifest)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        return self._die_or_return(await self._cluster.patch(kind, name, patch, preconditions))

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        return self._die_or_return(await self._cluster.patch_status(kind, name, status, preconditions))

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        await self._cluster.delete(kind, name, preconditions, grace_seconds)
        self._die_or_return({})

    def _die_or_return(self, written: Object) -> Object:
        if self._writes_left == 0:
            self.died.set()
            raise KilledError
        self._writes_left -= 1
        return written


class Operator:
    """A reconciler with a view of the cluster, as the program has it."""

    def __init__(
        self, cluster: KubernetesCluster, writes: int | None = None, settings: OperatorSettings = SETTINGS
    ) -> None:
        self._settings = settings
        self.dying = DyingCluster(cluster, -1 if writes is None else writes)
        self._prober = EngineProber()
        self._reconciler: DeploymentReconciler | None = None
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Operator":
        await self._prober.__aenter__()
        view = DeploymentView(self.dying)
        self._reconciler = DeploymentReconciler(view, self._prober, self._settings)
        self._following = asyncio.create_task(view.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reconciler
        assert self._following
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._reconciler.close()
        await self._prober.__aexit__()


async def settled(cluster: KubernetesCluster, phase: str) -> ModelDeployment:
    """The deployment once it is in this phase."""
    return await when(cluster, lambda deployment: deployment.status.phase == phase)


async def when(cluster: KubernetesCluster, holds: Callable[[ModelDeployment], bool]) -> ModelDeployment:
    """The deployment once that holds of it."""
    async with asyncio.timeout(30):
        while True:
            listed = await cluster.list(MODEL_DEPLOYMENTS)
            deployment = ModelDeployment.parse(listed.items[0])
            if holds(deployment):
                return deployment
            async for event in cluster.watch(MODEL_DEPLOYMENTS, listed.resource_version):
                deployment = ModelDeployment.parse(event.object)
                if holds(deployment):
                    return deployment


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4])
async def test_killed_at_any_write_the_next_one_ends_where_it_would_have(
    cluster: KubernetesCluster, writes: int
) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster, writes) as first:
        async with asyncio.timeout(30):
            await first.dying.died.wait()
    async with Operator(cluster):
        deployment = await settled(cluster, "Stalled")
    [pod] = (await cluster.list(PODS)).items
    assert pod["metadata"]["name"] == pod_name("smol", deployment.uid, 1)
    assert pod["metadata"]["labels"][LABEL_DEPLOYMENT] == "smol"
    assert deployment.status.attempt == 1
    assert deployment.status.last_failure is not None
    assert deployment.status.last_failure.reason == "Unschedulable"


async def test_once_settled_nothing_more_is_written(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster):
        before = await settled(cluster, "Stalled")
    async with Operator(cluster, writes=0) as watched:
        # A look at every deployment is due each second (resync); three of them must find nothing to write.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await watched.dying.died.wait()
    after = await settled(cluster, "Stalled")
    assert after.resource_version == before.resource_version


async def test_a_pod_that_somebody_deleted_is_made_again(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster):
        await settled(cluster, "Stalled")
    [first] = (await cluster.list(PODS)).items
    await cluster.delete(PODS, first["metadata"]["name"], Preconditions(first["metadata"]["uid"]))
    async with Operator(cluster, writes=1) as operator, asyncio.timeout(30):
        await operator.dying.died.wait()
    [second] = [pod for pod in (await cluster.list(PODS)).items if "deletionTimestamp" not in pod["metadata"]]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_deployment_that_is_made_again_has_a_pod_of_its_own_beside_that_of_its_predecessor(
    cluster: KubernetesCluster,
) -> None:
    first = await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster):
        await settled(cluster, "Stalled")
    # Its pod stays, as on a node that died, until somebody takes the finalizer off.
    [pod] = (await cluster.list(PODS)).items
    await cluster.patch(PODS, pod["metadata"]["name"], {"metadata": {"finalizers": ["berth.dev/test"]}})
    await cluster.delete(MODEL_DEPLOYMENTS, "smol", Preconditions(first["metadata"]["uid"]))
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster):
        again = await settled(cluster, "Stalled")
    names = {each["metadata"]["name"] for each in (await cluster.list(PODS)).items}
    await cluster.patch(PODS, pod["metadata"]["name"], {"metadata": {"finalizers": None}})
    assert pod_name("smol", again.uid, 1) in names
    assert again.uid != first["metadata"]["uid"]


async def test_somebody_elses_pod_of_the_name_is_told_and_left(cluster: KubernetesCluster) -> None:
    created = await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    name = pod_name("smol", created["metadata"]["uid"], 1)
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    allowed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "x", "image": "localhost/nothing:1", "securityContext": allowed}
    spec = {"nodeSelector": NOWHERE["nodeSelector"], "securityContext": security, "containers": [container]}
    await cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    async with Operator(cluster):
        deployment = await when(cluster, lambda found: found.status.attempt == 2 and found.status.pod_name is not None)
    assert deployment.status.last_failure
    assert deployment.status.last_failure.reason == "PodNameTaken"


async def test_what_is_added_to_a_pod_is_judged_by_the_api_server(cluster: KubernetesCluster) -> None:
    labels = {"team": "ml", "kueue.x-k8s.io/queue-name": "models"}
    annotations = {"sidecar.istio.io/inject": "false", "karpenter.sh/do-not-disrupt": "true"}
    added = {
        "labels": labels,
        "annotations": annotations,
        "env": [{"name": "A", "value": "b"}],
        "tmpSizeLimit": "1Gi",
    }
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE, pod=added))
    async with Operator(cluster):
        await settled(cluster, "Stalled")
    [pod] = (await cluster.list(PODS)).items
    assert labels.items() <= pod["metadata"]["labels"].items()
    assert annotations.items() <= pod["metadata"]["annotations"].items()
    assert {"name": "A", "value": "b"} in pod["spec"]["containers"][0]["env"]
    assert not [each for each in pod["spec"]["volumes"] if "emptyDir" in each]
    limits = {part: pod["spec"]["containers"][0]["resources"][part] for part in ("requests", "limits")}
    assert {part: of["ephemeral-storage"] for part, of in limits.items()} == {"requests": "0", "limits": "1Gi"}

    host = {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}
    await cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"pod": host}})
    async with Operator(cluster):
        refused = await when(cluster, lambda found: _reason(found) == "PodRefused")
    assert refused.status.last_failure
    assert "hostPath" in refused.status.last_failure.message


def _reason(deployment: ModelDeployment) -> str | None:
    return deployment.status.last_failure and deployment.status.last_failure.reason


async def test_without_an_api_server_it_waits_for_one(cluster: KubernetesCluster, monkeypatch: Any) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    real, refusals = cluster.list, iter(range(4))

    async def unreachable(kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        if next(refusals, None) is not None:
            raise UnavailableError("the API server cannot be reached")
        return await real(kind, labels)

    operator = Operator(cluster)
    monkeypatch.setattr(operator.dying, "list", unreachable)
    async with operator:
        await settled(cluster, "Stalled")
    assert next(refusals, None) is None


async def test_an_event_that_happens_again_is_counted_up(cluster: KubernetesCluster) -> None:
    created = ModelDeployment.parse(await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE)))
    now = datetime.now(UTC)
    event = make_event(created, make_plan(ObservedDeployment(created, [], None), SETTINGS, now).status, now)
    assert event is not None
    for _ in range(2):
        operator = EventRecorder(cluster)
        await operator.publish(event)
        await operator.publish(event)
    [stored] = (await cluster.list(EVENTS)).items
    assert (stored["reason"], stored["count"]) == ("Starting", 4)


async def test_an_engines_key_is_in_a_secret_that_ends_with_its_deployment(
    cluster: KubernetesCluster, namespace: Kubectl
) -> None:
    keys = OperatorSettings.model_validate({"engineKeys": {"secret": "0123456789abcdef" * 2}}).engine_keys
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE))
    async with Operator(cluster, settings=SETTINGS.model_copy(update={"engine_keys": keys})):
        started = await when(cluster, lambda deployment: deployment.status.pod_name is not None)
    [pod] = (await cluster.list(PODS)).items
    assert keys.keyring is not None
    [asked_for] = [each for each in pod["spec"]["containers"][0]["env"] if each["name"] == "BERTH_ENGINE_KEY"]
    stored = await cluster.get(SECRETS, asked_for["valueFrom"]["secretKeyRef"]["name"])
    assert base64.b64decode(stored["data"]["key"]).decode() == keys.keyring.key(started.uid)
    assert keys.keyring.key(started.uid) not in json.dumps(pod)
    await cluster.delete(MODEL_DEPLOYMENTS, started.name)
    await until(lambda: not namespace.json("get", "secrets")["items"])
