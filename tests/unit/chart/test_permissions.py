"""What the parts of a release may do: what they do, and nothing else."""

from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from tests.unit.chart.rendering import render

Rules = dict[tuple[str, str], set[str]]


def rules(role: dict[str, Any]) -> Rules:
    """API group and resource → verbs."""
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        (
            "berth-router",
            {
                ("berth.dev", "modeldeployments"): {"get", "list", "watch", "create", "delete"},
                ("berth.dev", "modeldownloads"): {"get", "list", "create", "delete"},
                ("berth.dev", "modeldeployments/status"): {"patch"},
                ("", "configmaps"): {"get", "patch"},
            },
        ),
        (
            "berth-operator",
            {
                ("berth.dev", "modeldeployments"): {"get", "list", "watch", "delete"},
                ("berth.dev", "modeldownloads"): {"list", "watch", "delete"},
                ("berth.dev", "modeldeployments/status"): {"patch"},
                ("berth.dev", "modeldownloads/status"): {"patch"},
                ("batch", "jobs"): {"get", "list", "watch", "create", "delete"},
                ("", "pods"): {"get", "list", "watch", "create", "delete"},
                ("", "events"): {"get", "create", "patch"},
                ("", "secrets"): {"create"},
            },
        ),
        (
            "berth-uninstall",
            {
                ("berth.dev", "modeldeployments"): {"list", "delete"},
                ("berth.dev", "modeldownloads"): {"list", "delete"},
                ("", "pods"): {"list"},
            },
        ),
    ],
)
def test_each_part_may_do_exactly_what_it_does(part: str, allowed: Rules) -> None:
    release = render()
    assert rules(release.one("Role", part)) == allowed
    binding = release.one("RoleBinding", part)
    assert binding["roleRef"]["name"] == part
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": part, "namespace": "models"}]
    assert release.pod_specs()[part]["serviceAccountName"] == part


def test_several_operators_write_no_lease_but_their_own() -> None:
    role = render(operator={"replicas": 2}).one("Role", "berth-operator")
    leases = [rule for rule in role["rules"] if rule["resources"] == ["leases"]]
    by_name = {tuple(rule["verbs"]): rule.get("resourceNames") for rule in leases}
    assert by_name == {("get", "patch"): ["berth-operator"], ("create",): None}


def test_the_routers_write_no_config_map_but_that_of_their_counts() -> None:
    release = render()
    [rule] = [rule for rule in release.one("Role", "berth-router")["rules"] if "configmaps" in rule["resources"]]
    assert rule["resourceNames"] == ["berth-stats"]
    # An upgrade leaves alone what it does not state.
    assert "data" not in release.one("ConfigMap", "berth-stats")
    [container] = release.pod_specs()["berth-router"]["containers"]
    assert {"name": "BERTH_STATS_CONFIG_MAP", "value": "berth-stats"} in container["env"]


def test_no_part_of_a_release_may_do_anything_beyond_its_namespace() -> None:
    release = render()
    assert len(release.of_kind("Role")) == len(release.of_kind("RoleBinding")) == 3
    assert not release.of_kind("ClusterRoleBinding")


def test_users_rights_are_rules_for_kubernetes_own_roles() -> None:
    view, edit = sorted(render().of_kind("ClusterRole"), key=lambda role: len(role["metadata"]["labels"]), reverse=True)
    aggregated = {
        role["metadata"]["name"]: {label.rsplit("-", 1)[1] for label in role["metadata"]["labels"] if "rbac." in label}
        for role in (view, edit)
    }
    assert aggregated == {
        "berth.dev:models:berth:view": {"view", "edit", "admin"},
        "berth.dev:models:berth:edit": {"edit", "admin"},
    }
    assert rules(edit).keys() == {("berth.dev", "modeldeployments"), ("berth.dev", "modeldownloads")}
    assert {verb for verbs in rules(view).values() for verb in verbs} == {"get", "list", "watch"}


CLUSTER_WIDE = ("ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def cluster_wide(**values: Any) -> set[str]:
    release = render(**values, crds={"install": False})
    return {f"{kind}/{each['metadata']['name']}" for kind in CLUSTER_WIDE for each in release.of_kind(kind)}


def test_two_releases_have_no_object_of_the_cluster_in_common() -> None:
    releases = [("berth", "a"), ("berth", "b"), ("berth-b", "a"), ("b-berth", "a"), ("berth", "a-b")]
    names = [name for release, namespace in releases for name in cluster_wide(release=release, namespace=namespace)]
    assert len(set(names)) == len(names) == 4 * len(releases)


def test_nor_where_the_operators_may_look_at_nodes() -> None:
    looks = {"operator": {"room": {"watchNodes": True}}}
    one, other = (
        cluster_wide(release=release, namespace=namespace, **looks)
        for release, namespace in (("a-berth", "team"), ("berth", "team-a"))
    )
    assert one.isdisjoint(other)


def test_who_has_no_rights_in_the_cluster_can_do_without_them() -> None:
    assert not cluster_wide(rbac={"aggregateRoles": False, "routerPolicy": False})


def test_the_policy_concerns_the_routers_of_this_release_alone() -> None:
    release = render()
    [policy] = release.of_kind("ValidatingAdmissionPolicy")
    spec = policy["spec"]
    assert spec["matchConstraints"]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "models"}}
    [condition] = spec["matchConditions"]
    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:models:berth-router'"
    [binding] = release.of_kind("ValidatingAdmissionPolicyBinding")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


@pytest.mark.parametrize("backend", Backend)
def test_the_policy_lets_a_router_state_all_that_it_states(backend: Backend) -> None:
    [policy] = render().of_kind("ValidatingAdmissionPolicy")
    [create] = [each["expression"] for each in policy["spec"]["validations"] if "CREATE" in each["expression"]]
    stated = with_defaults(ModelDeploymentSpec(model="/models/smol", backend=backend, device=Device.CUDA)).manifest()
    assert not {field for field in stated if f"'{field}'" not in create}
    assert not {field for field in ("resources", "nodeSelector", "tolerations", "engineArgs") if field in create}


def test_only_who_talks_to_the_cluster_gets_a_token() -> None:
    release = render()
    tokens = {name: spec["automountServiceAccountToken"] for name, spec in release.pod_specs().items()}
    assert tokens == {
        "berth-operator": True,
        "berth-router": True,
        "berth-uninstall": True,
        "berth-test": False,
    }
    assert not any(account["automountServiceAccountToken"] for account in release.of_kind("ServiceAccount"))
