"""The routers and the ways that lead to them."""

from collections.abc import Callable
from typing import Any

import pytest

from berth_api.model_deployment import Backend, Device
from berth_router.request.defaults import AnswerDefaults
from berth_router.request.profiles import Profile
from berth_router.serving.limits import Limits
from berth_router.settings import RouterSettings
from tests.unit.chart.rendering import RefusedError, environment, render

SELECTOR = {
    "app.kubernetes.io/name": "berth",
    "app.kubernetes.io/instance": "berth",
    "app.kubernetes.io/component": "router",
}
CUDA: dict[str, Any] = {"cuda": {"image": {"repository": "berth/llamacpp-cuda"}}}

SettingsOf = Callable[..., RouterSettings]
"""Takes values of the chart."""


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> SettingsOf:
    """What the router itself reads from the environment that the chart gives it."""

    def load(**values: Any) -> RouterSettings:
        [container] = render(**values).pod_specs()["berth-router"]["containers"]
        known = {field.alias for field in RouterSettings.model_fields.values()}
        given = environment(container)
        assert given.keys() <= known, f"the router knows none of {given.keys() - known}"
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return RouterSettings(POD_NAME="berth-router-0")

    return load


def test_the_charts_defaults_are_the_routers(settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of(auth={"enabled": False})
    for field in RouterSettings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    expected = {"BERTH_STATS_CONFIG_MAP": "berth-stats", "BERTH_STORE_WRITABLE": True, "BERTH_MAX_TTL": 86400}
    expected["BERTH_ENGINE_KEY_SECRET_FILE"] = "/etc/berth-engine-keys/secret"
    expected["BERTH_OPERATOR_URL"] = "http://berth-operator:8083"
    assert given == RouterSettings.model_validate({"POD_NAME": "berth-router-0", **expected})


@pytest.mark.covers(
    "router.defaultTtlSeconds",
    "router.maxTtlSeconds: the longest ttl of a request that counts; 0: any",
    "router.defaults.maxTokens: most tokens of an answer whose request states no limit",
    "router.defaults.temperature",
    "router.defaults.topP",
    "router.corsOrigins",
    "router.allowedHosts",
    "router.port",
    "router.host",
    "router.limits.requestsPerModel",
    "router.limits.requestsPerKey",
    "router.limits.connections",
    "router.limits.bodyBytes",
    "router.limits.bodiesBytes",
    "router.timeouts.head",
    "router.timeouts.keepAlive",
    "router.timeouts.bodySilence",
    "router.timeouts.body",
    "router.timeouts.stalledClient",
    "router.timeouts.engineConnect",
    "router.timeouts.engineFirstByte",
    "router.timeouts.engineSilence",
    "router.timeouts.peer",
    "profiles",
    "Settings: aliases",
    "defaultModel",
)
def test_every_value_arrives(settings_of: SettingsOf) -> None:
    settings = settings_of(
        engines={"llamacpp": CUDA, "vllm": None, "transformers": None},
        router={
            "defaultDevice": "cuda",
            "defaultTtlSeconds": 31536000,
            "maxTtlSeconds": 7200,
            "defaults": {"contextSize": "auto", "maxTokens": 10485760, "temperature": "model", "topP": 0.9},
            "corsOrigins": ["https://*.example.com", "http://localhost:*"],
            "allowedHosts": ["berth.example.com"],
            "coldStartDeadlineSeconds": 60,
            "maxDeployments": 5,
            "drainSeconds": 7,
            "lameDuckSeconds": 8,
            "limits": {
                "requestsPerModel": 9,
                "requestsPerKey": 10,
                "connections": 11,
                "bodyBytes": 4294967296,
                "bodiesBytes": 8589934592,
            },
            "timeouts": {
                "head": 12,
                "keepAlive": 13,
                "bodySilence": 14,
                "body": 15,
                "stalledClient": 16,
                "engineConnect": 17,
                "engineFirstByte": 18,
                "engineSilence": 19.5,
                "peer": 20,
            },
            "host": "::",
            "port": 9000,
        },
        modelStore={"routerMayDelete": False},
        downloads={"hubEndpoint": "https://hub.example.com/hf", "allowPickle": True, "minFreeBytes": 7},
        profiles={"long": {"n_ctx": 1048576}, "gone": None},
        aliases={"gpt-4o-mini": "Qwen3-8B@long", "claude-*": "Qwen3-8B", "gone": None},
        defaultModel="Qwen3-8B",
    )
    assert settings.engines == {Backend.LLAMACPP: [Device.CPU, Device.CUDA]}
    assert (settings.default_backend, settings.default_device) == (Backend.LLAMACPP, Device.CUDA)
    assert (settings.default_ttl, settings.max_ttl, settings.cold_start_deadline) == (31536000, 7200, 60)
    assert settings.default_n_ctx == "auto"
    assert settings.answer_defaults() == AnswerDefaults(max_tokens=10485760, temperature=None, top_p=0.9)
    assert (settings.hub_endpoint, settings.allow_pickle, settings.store_writable) == (
        "https://hub.example.com/hf",
        True,
        False,
    )
    assert (settings.cors_origins, settings.allowed_hosts) == (
        ("https://*.example.com", "http://localhost:*"),
        ("berth.example.com",),
    )
    assert settings.min_free_bytes == 7
    assert (settings.host, settings.port) == ("::", 9000)
    assert settings.profiles == {"long": Profile(n_ctx=1048576)}
    assert settings.aliases == {"gpt-4o-mini": "Qwen3-8B@long", "claude-*": "Qwen3-8B"}
    assert settings.default_model == "Qwen3-8B"
    assert (settings.max_deployments, settings.drain_seconds) == (5, 7)
    assert settings.lame_duck_seconds == 8
    assert settings.limits() == Limits(
        requests_per_model=9,
        requests_per_key=10,
        connections=11,
        body_bytes=4294967296,
        bodies_bytes=8589934592,
        head_seconds=12,
        keep_alive_seconds=13,
        body_silence_seconds=14,
        body_seconds=15,
        stalled_client_seconds=16,
        connect_seconds=17,
        first_byte_seconds=18,
        silence_seconds=19.5,
        peer_seconds=20,
    )


def test_an_engine_that_was_taken_away_is_not_offered(settings_of: SettingsOf) -> None:
    settings = settings_of(engines={"llamacpp": {"cpu": None, **CUDA}, "vllm": None}, router={"defaultDevice": "cuda"})
    assert settings.engines == {Backend.LLAMACPP: [Device.CUDA], Backend.TRANSFORMERS: [Device.CPU]}


def test_a_default_without_an_image_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"router.defaultDevice is cuda, but engines.llamacpp.cuda has no image"):
        render(router={"defaultDevice": "cuda"})


def test_every_replica_has_a_name_of_its_own() -> None:
    [container] = render().pod_specs()["berth-router"]["containers"]
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in container["env"]


def test_answers_under_way_outlive_an_upgrade() -> None:
    deployment = render(router={"drainSeconds": 100}).one("Deployment", "berth-router")["spec"]
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    pod = deployment["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 130
    [container] = pod["containers"]
    # It goes on answering by itself until nobody is led to it any more.
    assert "lifecycle" not in container
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_a_drain_leaves_a_router_but_can_always_empty_the_node_of_a_single_one() -> None:
    assert render().one("PodDisruptionBudget", "berth-router")["spec"] == {
        "minAvailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": SELECTOR},
    }
    assert render(router={"replicas": 1}).of_kind("PodDisruptionBudget") == []


def test_the_service_leads_to_the_routers() -> None:
    release = render()
    assert release.one("Service", "berth")["spec"] == {
        "type": "ClusterIP",
        "selector": SELECTOR,
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    }
    deployments = {found["metadata"]["name"]: found["spec"] for found in release.of_kind("Deployment")}
    chosen = [
        name for name, spec in deployments.items() if SELECTOR.items() <= spec["template"]["metadata"]["labels"].items()
    ]
    assert chosen == ["berth-router"]
    node_port = render(router={"service": {"type": "NodePort", "nodePort": 30080}}).one("Service", "berth")["spec"]
    assert (node_port["type"], node_port["ports"][0]["nodePort"]) == ("NodePort", 30080)


def test_an_ingress_is_made_only_when_wanted() -> None:
    assert render().of_kind("Ingress") == []
    ingress = render(router={"ingress": {"enabled": True, "className": "nginx", "hosts": ["llm.example.com"]}}).one(
        "Ingress", "berth"
    )
    backend = {"service": {"name": "berth", "port": {"name": "http"}}}
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "rules": [
            {"host": "llm.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        ],
    }


def test_a_gateways_route_is_made_only_when_wanted() -> None:
    assert render().of_kind("HTTPRoute") == []
    values = {
        "enabled": True,
        "parentRefs": [{"name": "public"}],
        "hostnames": ["llm.example.com"],
        "timeouts": {"request": "0s"},
    }
    assert render(router={"httpRoute": values}).one("HTTPRoute", "berth")["spec"] == {
        "parentRefs": [{"name": "public"}],
        "hostnames": ["llm.example.com"],
        "rules": [{"backendRefs": [{"name": "berth", "port": 80}], "timeouts": {"request": "0s"}}],
    }


def test_the_port_is_the_same_wherever_it_is_named() -> None:
    [container] = render(router={"port": 9000}).pod_specs()["berth-router"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9000}]


def test_the_test_finds_the_service_without_dns() -> None:
    pod = render(release="prod", test={"model": "/models/tiny"}).pod_specs()["prod-berth-test"]
    assert pod["enableServiceLinks"] is True
    assert environment(pod["containers"][0]) == {
        "SERVICE": "prod-berth",
        "SERVICE_PORT": "80",
        "TIMEOUT_SECONDS": "600",
        "MODEL": "/models/tiny",
    }


def test_the_hubs_token_comes_from_its_secret() -> None:
    release = render(downloads={"tokenSecret": {"name": "hub", "key": "hf"}})
    [container] = release.pod_specs()["berth-router"]["containers"]
    [token] = [variable for variable in container["env"] if variable["name"] == "BERTH_HUB_TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "hf", "optional": True}}
