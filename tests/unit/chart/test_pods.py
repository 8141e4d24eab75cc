"""What holds for every pod of a release."""

from typing import Any

import pytest

from tests.unit.chart.rendering import APP_VERSION, render

PODS = ["berth-operator", "berth-router", "berth-test", "berth-uninstall"]


def pod(name: str, **values: Any) -> dict[str, Any]:
    return render(**values).pod_specs()[name]


def test_these_are_all_pods() -> None:
    assert sorted(render().pod_specs()) == PODS


@pytest.mark.parametrize("name", PODS)
def test_every_pod_satisfies_the_restricted_standard(name: str) -> None:
    spec = pod(name)
    required = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert required.items() <= spec["securityContext"].items()
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(volume.keys() & {"configMap", "secret", "persistentVolumeClaim"} for volume in spec.get("volumes", []))


DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("values", "operator", "router"),
    [
        ({}, f"berth/operator:{APP_VERSION}", f"berth/router:{APP_VERSION}"),
        (
            {"image": {"registry": "r.example.com/", "tag": "v2"}},
            "r.example.com/berth/operator:v2",
            "r.example.com/berth/router:v2",
        ),
        ({"image": {"tag": "v2"}, "router": {"image": {"tag": "v3"}}}, "berth/operator:v2", "berth/router:v3"),
        ({"operator": {"image": {"digest": DIGEST}}}, f"berth/operator@{DIGEST}", f"berth/router:{APP_VERSION}"),
    ],
)
def test_images_can_be_named_together_and_one_by_one(values: dict[str, Any], operator: str, router: str) -> None:
    specs = render(**values).pod_specs()
    assert [specs[name]["containers"][0]["image"] for name in PODS] == [operator, router, router, operator]


@pytest.mark.parametrize("name", PODS)
def test_pull_secrets_reach_every_pod(name: str) -> None:
    assert pod(name, image={"pullSecrets": ["one", "two"]})["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert "imagePullSecrets" not in pod(name)


@pytest.mark.parametrize("part", ["operator", "router"])
def test_scheduling_and_environment_can_be_added_to(part: str) -> None:
    values: dict[str, Any] = {
        "nodeSelector": {"pool": "control"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    }
    resources = {"limits": {"memory": "1Gi"}}
    spec = pod(f"berth-{part}", **{part: {**values, "extraEnv": [{"name": "A", "value": "b"}], "resources": resources}})
    assert {key: spec[key] for key in values} == values
    assert {"name": "A", "value": "b"} in spec["containers"][0]["env"]
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}


@pytest.mark.parametrize("replicas", [1, 2])
def test_operators_of_two_versions_are_never_there_beside_each_other(replicas: int) -> None:
    operator = render(operator={"replicas": replicas}).one("Deployment", "berth-operator")["spec"]
    assert (operator["replicas"], operator["strategy"]) == (replicas, {"type": "Recreate"})


def test_each_of_several_operators_has_a_name_and_an_address() -> None:
    [container] = pod("berth-operator", operator={"replicas": 2})["containers"]
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"] if "valueFrom" in each
    }
    assert fields == {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
