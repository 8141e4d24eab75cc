"""The settings file that the operator is given, read by the operator itself."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from berth_api.model_deployment import Backend, Device, Toleration
from berth_api.pod_settings import PodSettings
from berth_operator.settings import (
    CompileCacheSettings,
    DeviceSettings,
    DownloadSettings,
    EngineImage,
    ModelStoreSettings,
    OperatorSettings,
    SecretKey,
)
from berth_process.settings_error import SettingsError
from tests.unit.chart.rendering import APP_VERSION, RefusedError, render

SettingsOf = Callable[..., OperatorSettings]
"""Takes values of the chart."""


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    def load(**values: Any) -> OperatorSettings:
        file = tmp_path / "operator.yaml"
        file.write_text(render(**values).one("ConfigMap", "berth-operator-settings")["data"]["operator.yaml"])
        return OperatorSettings.load(file)

    return load


def test_the_charts_defaults_are_the_operators(settings_of: SettingsOf) -> None:
    engines = {backend: {Device.CPU: EngineImage(image=f"berth/{backend}:{APP_VERSION}")} for backend in Backend}
    downloads = DownloadSettings(
        image=f"berth/download:{APP_VERSION}", resources={"requests": {"cpu": "100m", "memory": "256Mi"}}
    )
    devices = {
        Device.CUDA: DeviceSettings(resource_name="nvidia.com/gpu", cpu_request="250m"),
        Device.CPU: DeviceSettings(cpu_request="250m"),
    }
    store = ModelStoreSettings(path="/models")
    assert settings_of() == OperatorSettings(engines=engines, downloads=downloads, devices=devices, model_store=store)


def test_every_value_arrives(settings_of: SettingsOf) -> None:
    settings = settings_of(
        image={"registry": "registry.example.com", "tag": "v2", "pullPolicy": "Always", "pullSecrets": ["secret"]},
        engines={
            "vllm": None,
            "transformers": {"cpu": None},
            "llamacpp": {"cuda": {"image": {"repository": "llama", "tag": "cuda", "pullPolicy": "Never"}}},
        },
        devices={
            "cuda": {
                "resourceName": "amd.com/gpu",
                "nodeSelector": {"gpu": "yes"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "runtimeClassName": "nvidia",
                "pod": {"labels": {"kueue.x-k8s.io/queue-name": "gpus"}, "priorityClassName": "high"},
                "resources": {"requests": {"cpu": 2, "memory": "8Gi"}, "limits": {"memory": 17179869184}},
                "cpuRequest": 2,
                "memory": "80Gi",
                "shares": 4,
            },
            "cpu": {"cpuRequest": ""},
        },
        engineArgs={"allowed": {"llamacpp": ["--cache-type-k", "--no-mmap"]}},
        modelStore={"existingClaim": "weights", "subPath": "llm/models"},
        compileCache={"enabled": True, "existingClaim": "cache"},
        operator={"timing": {"startDeadline": 31536000, "firstRetry": 0.5}},
    )
    assert settings.engines == {
        Backend.LLAMACPP: {
            Device.CPU: EngineImage(image="registry.example.com/berth/llamacpp:v2", pull_policy="Always"),
            Device.CUDA: EngineImage(image="registry.example.com/llama:cuda", pull_policy="Never"),
        }
    }
    assert settings.devices[Device.CUDA] == DeviceSettings(
        resource_name="amd.com/gpu",
        node_selector={"gpu": "yes"},
        tolerations=[Toleration(key="gpu", operator="Exists", effect="NoSchedule")],
        runtime_class_name="nvidia",
        pod=PodSettings(labels={"kueue.x-k8s.io/queue-name": "gpus"}, priority_class_name="high"),
        resources={"requests": {"cpu": 2, "memory": "8Gi"}, "limits": {"memory": 17179869184}},
        cpu_request=2,
        memory="80Gi",
        shares=4,
    )
    assert settings.devices[Device.CPU] == DeviceSettings()
    assert settings.engine_args.allowed == {Backend.LLAMACPP: ["--cache-type-k", "--no-mmap"]}
    assert settings.image_pull_secrets == ["secret"]
    assert (settings.model_store.claim_name, settings.model_store.sub_path) == ("weights", "llm/models")
    assert settings.compile_cache == CompileCacheSettings(enabled=True, claim_name="cache")
    assert (settings.timing.start_deadline, settings.timing.first_retry) == (31536000, 0.5)


def test_several_operators_elect_one(settings_of: SettingsOf) -> None:
    assert settings_of().election.lease is None
    assert settings_of(operator={"replicas": 2}).election.lease == "berth-operator"


def test_an_engines_image_can_be_pulled_by_its_digest(settings_of: SettingsOf) -> None:
    image = {"repository": "berth/llamacpp", "tag": "v2", "digest": f"sha256:{'a' * 64}"}
    settings = settings_of(image={"registry": "r.example.com"}, engines={"llamacpp": {"cpu": {"image": image}}})
    named = settings.image_for(Backend.LLAMACPP, Device.CPU)
    assert named
    assert named.image == f"r.example.com/berth/llamacpp@sha256:{'a' * 64}"


def test_engines_with_a_share_of_a_device_start_one_after_the_other(settings_of: SettingsOf) -> None:
    def shared(**cuda: Any) -> frozenset[str]:
        settings = settings_of(devices={"cuda": cuda})
        return settings.room.rules(settings.devices).shared

    assert shared() == frozenset()
    assert shared(resourceName="nvidia.com/gpu.shared", shares=2) == {"nvidia.com/gpu.shared"}


@pytest.mark.covers("operator.timing.resync")
def test_the_cleanup_interval_of_the_environment_goes_before_the_value(tmp_path: Path) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(render().one("ConfigMap", "berth-operator-settings")["data"]["operator.yaml"])
    assert OperatorSettings.load(file, {}).timing.resync == 30
    assert OperatorSettings.load(file, {"CLEANUP_INTERVAL": "7"}).timing.resync == 7
    with pytest.raises(SettingsError, match=r"^CLEANUP_INTERVAL is 'soon': it must be a number$"):
        OperatorSettings.load(file, {"CLEANUP_INTERVAL": "soon"})


def test_an_engine_that_is_slow_to_answer_must_not_be_one_that_hangs(settings_of: SettingsOf) -> None:
    timing = settings_of(operator={"timing": {"probePeriod": 20, "hangDeadline": 26}}).timing
    assert (timing.probe_period, timing.hang_deadline, timing.unresponsive_after) == (20, 26, 25)


def test_the_operator_finds_its_settings_and_is_restarted_when_they_change() -> None:
    before, after = (
        render(operator={"timing": {"resync": seconds}}).one("Deployment", "berth-operator") for seconds in (300, 301)
    )
    pod = before["spec"]["template"]["spec"]
    assert {"name": "settings", "configMap": {"name": "berth-operator-settings"}} in pod["volumes"]
    assert {"name": "settings", "mountPath": "/etc/berth", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert {"name": "BERTH_CONFIG", "value": "/etc/berth/operator.yaml"} in pod["containers"][0]["env"]
    assert before["spec"]["template"] != after["spec"]["template"]


def test_the_probes_ask_where_the_operator_answers(settings_of: SettingsOf) -> None:
    [container] = render().pod_specs()["berth-operator"]["containers"]
    assert {"name": "health", "containerPort": settings_of().health_port} in container["ports"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_every_value_of_downloads_arrives(settings_of: SettingsOf) -> None:
    settings = settings_of(
        image={"registry": "registry.example.com", "tag": "v2"},
        downloads={
            "hubEndpoint": "http://[fd00::1]:8080/mirror",
            "tokenSecret": {"name": "hub"},
            "allowPickle": True,
            "minFreeBytes": 50_000_000_000,
            "keepSeconds": 0,
            "backoffLimit": 3,
            "resources": {"limits": {"memory": "1Gi"}, "requests": None},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "store", "operator": "Exists"}],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        },
    )
    assert settings.downloads == DownloadSettings(
        image="registry.example.com/berth/download:v2",
        hub_endpoint="http://[fd00::1]:8080/mirror",
        token_secret=SecretKey(name="hub", key="token"),
        allow_pickle=True,
        min_free_bytes=50_000_000_000,
        keep_seconds=0,
        backoff_limit=3,
        resources={"limits": {"memory": "1Gi"}},
        node_selector={"disk": "fast"},
        tolerations=[Toleration(key="store", operator="Exists")],
        env=[{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    )


def test_prometheus_is_told_where_the_metrics_are_unless_there_are_none(settings_of: SettingsOf) -> None:
    template = render().one("Deployment", "berth-operator")["spec"]["template"]
    port = settings_of().metrics_port
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    assert {"name": "metrics", "containerPort": port} in template["spec"]["containers"][0]["ports"]
    without = render(operator={"metricsPort": 0}).one("Deployment", "berth-operator")["spec"]["template"]
    assert "prometheus.io/scrape" not in without["metadata"]["annotations"]
    assert [port["name"] for port in without["spec"]["containers"][0]["ports"]] == ["health", "forecast"]
    assert settings_of(operator={"metricsPort": 0}).metrics_port == 0


def test_what_is_empty_of_a_pod_is_as_if_it_were_not_stated(settings_of: SettingsOf) -> None:
    empty: dict[str, Any] = {
        "priorityClassName": "",
        "schedulerName": "",
        "tmpSizeLimit": "",
        "affinity": {},
        "env": [],
    }
    pod = settings_of(devices={"cpu": {"pod": empty}}).devices[Device.CPU].pod
    assert pod in (None, PodSettings())


REFUSED_BY_THE_OPERATOR: list[tuple[dict[str, Any], str]] = [
    ({"devices": {"cpu": {"pod": {"priorityClassName": "High_One"}}}}, "/devices/cpu/pod/priorityClassName"),
    ({"devices": {"cpu": {"pod": {"schedulerName": "a b"}}}}, "/devices/cpu/pod/schedulerName"),
    ({"devices": {"cpu": {"pod": {"tmpSizeLimit": "20K"}}}}, "/devices/cpu/pod/tmpSizeLimit"),
    ({"devices": {"cpu": {"pod": {"shmSizeLimit": "2Gii"}}}}, "/devices/cpu/pod/shmSizeLimit"),
    ({"devices": {"cpu": {"tolerations": [{"key": "a", "value": "x" * 64}]}}}, "/devices/cpu/tolerations/0/value"),
    ({"devices": {"cpu": {"shares": 2}}}, "devices.cpu.shares is 2, but devices.cpu.resourceName is empty"),
    ({"downloads": {"hubEndpoint": "https://:443"}}, "/downloads/hubEndpoint"),
    ({"downloads": {"hubEndpoint": "https://hub:65536"}}, "/downloads/hubEndpoint"),
    ({"operator": {"timing": {"hangDeadline": 15}}}, "operator.timing.hangDeadline is 15, but must be more than"),
]


REFUSED_ITSELF: list[tuple[dict[str, Any], str]] = [
    ({"devices": {"cuda": {"shares": 2, "resourceName": None}}}, "shares is 2, but resourceName is empty"),
    ({"timing": {"probePeriod": 20, "hangDeadline": 25}}, "hangDeadline is 25, but must be more than probePeriod (20)"),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED_ITSELF, ids=["shares", "hangDeadline"])
def test_the_operator_refuses_it_too(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(json.dumps(settings))
    with pytest.raises(SettingsError, match=re.escape(said)):
        OperatorSettings.load(file, {})


@pytest.mark.parametrize(("values", "said"), REFUSED_BY_THE_OPERATOR, ids=[said for _, said in REFUSED_BY_THE_OPERATOR])
def test_what_the_operator_would_not_start_with_is_refused_before(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)):
        render(**values)
