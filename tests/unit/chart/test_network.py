"""Who may talk to whom, by the chart's NetworkPolicies, as a network that enforces them decides."""

from typing import Any

import pytest

from berth_operator.engines import ENGINES
from berth_operator.resources.download_job import PORT as PROGRESS
from berth_operator.resources.download_job import make_download_job
from berth_operator.resources.pod import make_pod
from tests.unit.chart.rendering import RefusedError, Release, render
from tests.unit.operator.building import SETTINGS, deployment
from tests.unit.operator.downloads.building import SETTINGS as DOWNLOAD_SETTINGS
from tests.unit.operator.downloads.building import download

Labels = dict[str, str]

ANYWHERE: Labels = {"of": "nobody"}
"""An address that no selector matches: a node, the API server, the hub, DNS."""
STRANGER: Labels = {"app.kubernetes.io/name": "stranger"}


def labels_of(release: Release, component: str) -> Labels:
    """The labels of a pod of the release, or of one that its operator makes."""
    if component == "engine":
        made_for = deployment()
        image = SETTINGS.image_for(made_for.spec.backend, made_for.spec.device)
        assert image is not None
        return make_pod(made_for, ENGINES[made_for.spec.backend], image, SETTINGS)["metadata"]["labels"]
    if component == "download":
        return make_download_job(download(), "berth/download:1", DOWNLOAD_SETTINGS)["spec"]["template"]["metadata"][
            "labels"
        ]
    if component in ("test", "uninstall"):
        return release.one("Pod", f"berth-{component}")["metadata"]["labels"]
    return release.one("Deployment", f"berth-{component}")["spec"]["template"]["metadata"]["labels"]


def matches(selector: dict[str, Any], labels: Labels) -> bool:
    stated: Labels = selector.get("matchLabels") or {}
    expressions: list[dict[str, Any]] = selector.get("matchExpressions") or []
    assert all(each["operator"] == "In" for each in expressions)
    return stated.items() <= labels.items() and all(labels.get(each["key"]) in each["values"] for each in expressions)


def peer_matches(peer: dict[str, Any], labels: Labels) -> bool:
    """Of pods of the release's namespace, and of addresses."""
    if labels is ANYWHERE:
        return "ipBlock" in peer
    if "namespaceSelector" in peer:
        return True
    return matches(peer.get("podSelector", {"matchLabels": {"no": "pod"}}), labels)


def lets_pass(rules: list[dict[str, Any]], peers: str, labels: Labels, port: int) -> bool:
    return any(
        (not rule.get(peers) or any(peer_matches(peer, labels) for peer in rule[peers]))
        and (not rule.get("ports") or port in [each["port"] for each in rule["ports"]])
        for rule in rules
    )


def allowed(release: Release, source: Labels, target: Labels, port: int) -> bool:
    """Whether a connection comes about: both sides have to allow it, as far as policies select them."""
    for direction, own, peer, peers in (("Egress", source, target, "to"), ("Ingress", target, source, "from")):
        policies = [
            each["spec"] for each in release.of_kind("NetworkPolicy") if matches(each["spec"]["podSelector"], own)
        ]
        selecting = [spec for spec in policies if direction in spec["policyTypes"]]
        if selecting and not any(lets_pass(spec[direction.lower()], peers, peer, port) for spec in selecting):
            return False
    return True


def pod(release: Release, name: str) -> Labels:
    return {"stranger": STRANGER, "anywhere": ANYWHERE}.get(name) or labels_of(release, name)


@pytest.mark.parametrize(
    ("source", "target", "port", "passes"),
    [
        ("router", "engine", 8000, True),
        ("operator", "engine", 8000, True),
        ("operator", "download", PROGRESS, True),
        ("router", "operator", 8083, True),
        ("operator", "operator", 8083, True),
        ("router", "anywhere", 6443, True),
        ("operator", "anywhere", 443, True),
        ("router", "anywhere", 53, True),
        ("download", "anywhere", 443, True),
        ("download", "anywhere", 53, True),
        ("test", "router", 8080, True),
        ("test", "anywhere", 53, True),
        ("uninstall", "anywhere", 6443, True),
        ("uninstall", "anywhere", 53, True),
        ("stranger", "router", 8080, True),
        ("anywhere", "router", 8080, True),
        ("stranger", "operator", 8082, True),
        ("stranger", "engine", 8000, False),
        ("anywhere", "engine", 8000, False),
        ("engine", "engine", 8000, False),
        ("download", "engine", 8000, False),
        ("engine", "anywhere", 443, False),
        ("engine", "anywhere", 6443, False),
        ("engine", "anywhere", 53, False),
        ("engine", "router", 8080, False),
        ("engine", "operator", 8082, False),
        ("stranger", "operator", 8083, False),
        ("stranger", "operator", 8081, False),
        ("stranger", "download", PROGRESS, False),
        ("download", "anywhere", 6443, False),
        ("download", "router", 8080, False),
        ("operator", "anywhere", 22, False),
        ("test", "engine", 8000, False),
        ("test", "anywhere", 443, False),
        ("uninstall", "anywhere", 22, False),
        ("router", "stranger", 5432, False),
    ],
)
def test_only_who_has_to_talk_to_each_other_can(source: str, target: str, port: int, passes: bool) -> None:
    release = render()
    assert allowed(release, pod(release, source), pod(release, target), port) is passes


def test_without_policies_everybody_can() -> None:
    release = render(networkPolicy={"enabled": False})
    assert not release.of_kind("NetworkPolicy")
    assert allowed(release, STRANGER, labels_of(release, "engine"), 8000)


def test_who_asks_and_who_measures_is_a_value() -> None:
    only = [{"podSelector": {"matchLabels": {"app": "ingress"}}}]
    release = render(networkPolicy={"clientsFrom": only, "metricsFrom": only})
    for part, port in (("router", 8080), ("operator", 8082)):
        target = labels_of(release, part)
        assert not allowed(release, STRANGER, target, port)
        assert allowed(release, {"app": "ingress"}, target, port)
    assert allowed(release, labels_of(release, "test"), labels_of(release, "router"), 8080), "helm test is no stranger"


def test_hooks_reach_whom_they_need_where_nobody_may_talk_without_a_policy() -> None:
    release = render()
    of_berth = {"app.kubernetes.io/part-of": "berth"}
    closed = {
        "podSelector": {"matchLabels": of_berth},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }
    release = Release([*release.manifests, {"kind": "NetworkPolicy", "metadata": {"name": "all"}, "spec": closed}])
    assert not allowed(release, of_berth, ANYWHERE, 6443)
    assert allowed(release, labels_of(release, "uninstall"), ANYWHERE, 6443)
    assert allowed(release, labels_of(release, "test"), labels_of(release, "router"), 8080)


def test_a_mirror_and_a_proxy_are_reached_at_their_ports_and_addresses() -> None:
    release = render(
        downloads={"hubEndpoint": "http://mirror.example.com:8080/hf"},
        networkPolicy={"hub": {"ports": [3128], "cidrs": ["10.1.0.0/16"]}},
    )
    [_, hub] = release.one("NetworkPolicy", "berth-downloads")["spec"]["egress"]
    assert [each["port"] for each in hub["ports"]] == [8080, 3128]
    assert hub["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]


@pytest.mark.parametrize(("url", "port"), [("", 443), ("http://mirror", 80), ("https://mirror/hf", 443)])
def test_the_hubs_port_is_that_of_its_address(url: str, port: int) -> None:
    [_, hub] = render(downloads={"hubEndpoint": url}).one("NetworkPolicy", "berth-downloads")["spec"]["egress"]
    assert [each["port"] for each in hub["ports"]] == [port]


def test_an_api_server_can_be_named_by_its_address() -> None:
    release = render(networkPolicy={"apiServer": {"ports": [6443], "cidrs": ["10.0.0.10/32"]}})
    for part in ("berth-operator", "berth-router"):
        rule = release.one("NetworkPolicy", part)["spec"]["egress"][1]
        assert rule == {
            "ports": [{"protocol": "TCP", "port": 6443}],
            "to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}],
        }


def test_engines_can_be_given_more() -> None:
    traces: dict[str, Any] = {"to": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 4317}]}
    everyone: dict[str, Any] = {"from": [{"podSelector": {}}]}
    release = render(networkPolicy={"engines": {"extraEgress": [traces], "extraIngress": [everyone]}})
    engine = labels_of(release, "engine")
    assert allowed(release, engine, STRANGER, 4317)
    assert not allowed(release, engine, STRANGER, 4318)
    assert allowed(release, STRANGER, engine, 8000)


WRONG: list[dict[str, Any]] = [
    {"clientsFrom": [{}]},
    {"clientsFrom": [{"podselector": {}}]},
    {"apiServer": {"ports": []}},
    {"apiServer": {"cidrs": ["10.0.0.1"]}},
    {"enable": True},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_could_be_no_policy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="networkPolicy"):
        render(networkPolicy=wrong)
