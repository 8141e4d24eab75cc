"""What goes with a release, and what stays of it."""

from typing import Any

import pytest

from tests.unit.chart.rendering import render

KEEP = "helm.sh/resource-policy"


def annotations(manifest: dict[str, Any]) -> dict[str, str]:
    return manifest["metadata"].get("annotations") or {}


def test_a_pod_ends_what_routers_made_and_nothing_of_it_is_there_before_or_after() -> None:
    release = render()
    hooks = [each for each in release.manifests if annotations(each).get("helm.sh/hook") == "pre-delete"]
    assert {each["kind"] for each in hooks} == {"ServiceAccount", "Role", "RoleBinding", "Pod"}
    assert {annotations(each)["helm.sh/hook-delete-policy"] for each in hooks} == {
        "before-hook-creation,hook-succeeded,hook-failed"
    }
    weights = {each["kind"]: int(annotations(each)["helm.sh/hook-weight"]) for each in hooks}
    assert weights["Role"] < weights["RoleBinding"] < weights["Pod"]
    spec = release.one("Pod", "berth-uninstall")["spec"]
    assert spec["activeDeadlineSeconds"] < 300, "helm waits no longer"
    assert spec["serviceAccountName"] == "berth-uninstall"
    [container] = spec["containers"]
    [operator] = release.pod_specs()["berth-operator"]["containers"]
    assert container["image"] == operator["image"]
    assert container["securityContext"] == operator["securityContext"]
    assert spec["securityContext"] == release.pod_specs()["berth-operator"]["securityContext"]


def test_it_can_be_left_out() -> None:
    assert "berth-uninstall" not in render(uninstallHook={"enabled": False}).pod_specs()


def test_it_finds_room_where_engines_have_all() -> None:
    [container] = render().one("Pod", "berth-uninstall")["spec"]["containers"]
    # Stated, since a quota of memory refuses a pod that does not say.
    assert container["resources"]["requests"] == {"cpu": "0", "memory": "0"}


@pytest.mark.parametrize("keep", [True, False])
def test_keys_stay_with_the_models(keep: bool) -> None:
    release = render(modelStore={"keep": keep})
    kept = {each["metadata"]["name"] for each in release.manifests if annotations(each).get(KEEP) == "keep"}
    stays = {"berth-models", "berth-api-keys", "berth-engine-keys"}
    assert kept & stays == (stays if keep else set())


def test_the_lease_of_several_operators_goes_with_the_release() -> None:
    assert not render().of_kind("Lease")
    [lease] = render(operator={"replicas": 2}).of_kind("Lease")
    assert lease["metadata"]["name"] == "berth-operator"
    # An upgrade leaves alone what it does not state.
    assert "spec" not in lease
