"""A pod that is kept from the scheduler, as Kueue does with its gate, on a real API server."""

from typing import Any

from berth_api.conditions import Condition, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Kind, Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_operator.settings import OperatorSettings
from tests.integration.test_reconciler import NOWHERE, SETTINGS, Operator, when
from tests.integration.test_resource import manifest

GATE = {"name": "kueue.x-k8s.io/admission"}
QUEUE = {"kueue.x-k8s.io/queue-name": "models"}
AT_ONCE = SETTINGS.timing.model_copy(update={"start_deadline": 0.01})


def operator_behind_kueue(cluster: KubernetesCluster, monkeypatch: Any, settings: OperatorSettings) -> Operator:
    """An operator whose pods get the gate as they are made: Kueue's webhook does that."""
    operator = Operator(cluster, settings=settings)

    async def create(kind: Kind, made: Object) -> Object:
        gated = {**made, "spec": {**made["spec"], "schedulingGates": [GATE]}} if kind is PODS else made
        return await cluster.create(kind, gated)

    monkeypatch.setattr(operator.dying, "create", create)
    return operator


def reconciling(deployment: ModelDeployment) -> Condition | None:
    return condition_of(deployment.status.conditions, ConditionType.RECONCILING)


def is_held(deployment: ModelDeployment) -> bool:
    found = reconciling(deployment)
    return found is not None and found.reason == "SchedulingGated"


async def test_a_pod_that_is_kept_back_is_no_failed_start_and_goes_on_once_it_is_let_through(
    cluster: KubernetesCluster, monkeypatch: Any
) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest(**NOWHERE, pod={"labels": QUEUE}))
    quick = SETTINGS.model_copy(update={"timing": AT_ONCE})
    async with operator_behind_kueue(cluster, monkeypatch, quick):
        held = await when(cluster, is_held)
    assert held.status.phase == "Starting"
    told = reconciling(held)
    assert told
    assert told.message == "Kueue has not admitted its pod yet, which waits in the queue models"
    [pod] = (await cluster.list(PODS)).items
    said = {each["type"]: each["reason"] for each in pod["status"]["conditions"]}
    assert said == {"PodScheduled": "SchedulingGated"}, "so says Kubernetes"

    # A round long after the deadline of a start: nothing is deleted, and made anew at the end of the queue.
    await cluster.patch(MODEL_DEPLOYMENTS, held.name, {"spec": {"idle": {"ttlSeconds": 60}}})
    async with operator_behind_kueue(cluster, monkeypatch, quick):
        seen = await when(cluster, lambda each: each.status.observed_generation == 2)
    assert (seen.status.attempt, seen.status.last_failure, seen.status.phase) == (1, None, "Starting")

    await cluster.patch(PODS, pod["metadata"]["name"], {"spec": {"schedulingGates": []}})
    async with Operator(cluster):
        stalled = await when(cluster, lambda each: each.status.phase == "Stalled")
    assert stalled.status.last_failure
    assert (stalled.status.attempt, stalled.status.last_failure.reason) == (1, "Unschedulable")
    assert [each["metadata"]["uid"] for each in (await cluster.list(PODS)).items] == [pod["metadata"]["uid"]]
