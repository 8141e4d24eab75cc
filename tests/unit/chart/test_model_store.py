"""The volume that holds the models: made by the chart, or one that exists."""

from typing import Any

import pytest
import yaml

from tests.unit.chart.rendering import Release, render


def claim_of_router(release: Release) -> dict[str, Any]:
    [claim] = [
        volume["persistentVolumeClaim"]
        for volume in release.pod_specs()["berth-router"]["volumes"]
        if volume["name"] == "models"
    ]
    return claim


def mount_of_router(release: Release) -> dict[str, Any]:
    [container] = release.pod_specs()["berth-router"]["containers"]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "models"]
    return mount


def test_the_claim_outlives_the_release() -> None:
    release = render()
    claim = release.one("PersistentVolumeClaim", "berth-models")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}}
    assert claim_of_router(release) == {"claimName": "berth-models", "readOnly": False}
    assert mount_of_router(release) == {"name": "models", "mountPath": "/models", "readOnly": False}


def test_the_claim_can_be_shaped() -> None:
    values = {
        "size": "1Ti",
        "storageClassName": "nfs",
        "accessModes": ["ReadWriteOnce"],
        "volumeName": "pv-7",
        "annotations": {"team": "ml"},
        "keep": False,
    }
    claim = render(modelStore=values).one("PersistentVolumeClaim", "berth-models")
    assert claim["metadata"]["annotations"] == {"team": "ml"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "nfs",
        "volumeName": "pv-7",
        "resources": {"requests": {"storage": "1Ti"}},
    }


@pytest.mark.parametrize(("value", "rendered"), [("-", ""), ("fast", "fast")])
def test_a_dash_asks_for_no_storage_class_at_all(value: str, rendered: str) -> None:
    claim = render(modelStore={"storageClassName": value}).one("PersistentVolumeClaim", "berth-models")
    assert claim["spec"]["storageClassName"] == rendered


def test_a_claim_that_exists_is_used_and_none_is_made() -> None:
    release = render(modelStore={"existingClaim": "weights", "subPath": "llm"})
    assert release.of_kind("PersistentVolumeClaim") == []
    assert claim_of_router(release) == {"claimName": "weights", "readOnly": False}
    assert mount_of_router(release)["subPath"] == "llm"


def test_routers_that_may_not_delete_only_read() -> None:
    release = render(modelStore={"routerMayDelete": False})
    assert claim_of_router(release)["readOnly"]
    assert mount_of_router(release)["readOnly"]
    assert "fsGroup" not in release.pod_specs()["berth-router"]["securityContext"]
    assert render().pod_specs()["berth-router"]["securityContext"]["fsGroup"] == 65532


def test_the_operator_reads_the_models_unless_it_must_not() -> None:
    release = render(modelStore={"existingClaim": "weights", "subPath": "llm"})
    pod = release.pod_specs()["berth-operator"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}} in pod["volumes"]
    mount = {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "llm"}
    assert mount in pod["containers"][0]["volumeMounts"]
    without = render(operator={"readModelStore": False})
    pod = without.pod_specs()["berth-operator"]
    assert [volume for volume in pod["volumes"] if volume["name"] == "models"] == []
    assert [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "models"] == []
    settings = without.one("ConfigMap", "berth-operator-settings")["data"]["operator.yaml"]
    assert yaml.safe_load(settings)["modelStore"] == {"claimName": "berth-models"}
