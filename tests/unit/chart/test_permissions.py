"""What the parts of a release may do: what they do, and nothing else."""

from typing import Any

import pytest

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
                ("berth.dev", "modeldownloads"): {"get", "list", "watch", "create", "delete"},
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
                ("", "events"): {"create"},
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


def test_the_routers_write_no_config_map_but_that_of_their_counts() -> None:
    release = render()
    [rule] = [rule for rule in release.one("Role", "berth-router")["rules"] if "configmaps" in rule["resources"]]
    assert rule["resourceNames"] == ["berth-stats"]
    # An upgrade leaves alone what it does not state.
    assert "data" not in release.one("ConfigMap", "berth-stats")
    [container] = release.pod_specs()["berth-router"]["containers"]
    assert {"name": "BERTH_STATS_CONFIG_MAP", "value": "berth-stats"} in container["env"]


def test_nothing_reaches_beyond_the_namespace() -> None:
    release = render()
    assert len(release.of_kind("Role")) == len(release.of_kind("RoleBinding")) == 2
    assert not release.of_kind("ClusterRole") + release.of_kind("ClusterRoleBinding")


def test_only_the_operator_and_the_router_get_a_token() -> None:
    release = render()
    tokens = {name: spec["automountServiceAccountToken"] for name, spec in release.pod_specs().items()}
    assert tokens == {"berth-operator": True, "berth-router": True, "berth-test": False}
    assert not any(account["automountServiceAccountToken"] for account in release.of_kind("ServiceAccount"))
