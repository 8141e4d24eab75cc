"""One configuration, one name."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.identity import attempt_of, deployment_name, pod_name, with_defaults
from berth_api.model_deployment import NAME_LENGTH, ModelDeploymentSpec


def spec(**fields: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(
        {"model": "/models/SmolLM2", "backend": "llamacpp", "device": "cpu", **fields}
    )


@pytest.mark.parametrize(
    "same",
    [
        spec(llamacpp={}),
        spec(llamacpp={"contextSize": 2048}),
        spec(llamacpp={"gpuLayers": 0}),
        spec(idle={"ttlSeconds": 5, "action": "Delete"}),
        spec(resources={"limits": {"memory": "1Gi"}}),
        spec(nodeSelector={"zone": "a"}),
    ],
)
def test_what_is_a_default_or_not_identity_does_not_change_the_name(same: ModelDeploymentSpec) -> None:
    assert deployment_name(same) == deployment_name(spec())


@pytest.mark.parametrize(
    "other",
    [
        spec(model="/models/elsewhere/SmolLM2"),
        spec(backend="vllm"),
        spec(device="cuda"),
        spec(device="cuda", devices=2),
        spec(llamacpp={"contextSize": 4096}),
        spec(llamacpp={"quantization": "Q4_K_M"}),
    ],
)
def test_another_configuration_has_another_name(other: ModelDeploymentSpec) -> None:
    assert deployment_name(other) != deployment_name(spec())


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("/models/SmolLM2-135M-Instruct", "smollm2-135m-instruct"),
        ("/models/org/Qwen3_0.6B.gguf", "qwen3-0-6b"),
        ("/models/7B", "m-7b"),
        ("/models/" + "x" * 300, "x" * 40),
    ],
)
def test_the_name_can_be_read(model: str, slug: str) -> None:
    assert re.fullmatch(rf"{slug}-[0-9a-f]{{10}}", deployment_name(spec(model=model)))


UID = "0a1b2c3d-2222-3333-4444-555555555555"
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


@given(st.from_regex(r"\A/models(/[A-Za-z0-9_][A-Za-z0-9._+=-]{0,80}){1,3}\Z"))
def test_every_name_is_one_that_kubernetes_takes(model: str) -> None:
    name = pod_name(deployment_name(spec(model=model)), UID, 999_999)
    assert re.fullmatch(LABEL, name)
    assert len(name) <= 63


@given(st.from_regex(rf"\A{LABEL}(\.{LABEL})*\Z").filter(lambda name: len(name) <= NAME_LENGTH), st.integers(1, 10**9))
def test_the_pod_of_every_name_that_is_allowed_can_be_made(deployment: str, attempt: int) -> None:
    name = pod_name(deployment, UID, attempt)
    assert re.fullmatch(rf"{LABEL}(\.{LABEL})*", name)
    assert len(name) <= 63
    assert attempt_of(name) == attempt


def test_a_pods_name_tells_its_deployment_and_its_start() -> None:
    assert pod_name("smol", UID, 7) == "smol-0a1b2c3d-7"
    assert pod_name("n" * 63, UID, 7) == f"{'n' * 52}-0a1b2c3d-7"
    assert pod_name("smol", "9" + UID[1:], 7) != pod_name("smol", UID, 7)


@pytest.mark.parametrize(
    ("name", "attempt"), [("smol-1", 1), ("smol-0a1b2c3d-12", 12), ("smol", None), ("smol-x", None), ("smol-²", None)]
)
def test_the_number_of_a_start_is_read_from_its_pods_name(name: str, attempt: int | None) -> None:
    assert attempt_of(name) == attempt


def test_all_layers_go_to_a_gpu_where_there_is_one() -> None:
    on_gpu, on_cpu = with_defaults(spec(device="cuda")).llamacpp, with_defaults(spec()).llamacpp
    assert on_gpu is not None
    assert on_cpu is not None
    assert (on_gpu.gpu_layers, on_cpu.gpu_layers) == (-1, 0)
