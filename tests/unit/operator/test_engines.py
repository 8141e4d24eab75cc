"""Each engine's launcher gets these arguments; and which further arguments a deployment may use."""

from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_operator.deployments.actions import CreatePod, ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.engines import ENGINES
from berth_operator.engines.arguments import refused_arguments
from berth_operator.engines.context import EngineContext, read_context
from berth_operator.settings import OperatorSettings
from tests.unit.operator.building import NOW, SETTINGS, deployment

MODEL = "/models/SmolLM2"
COMMON = f"--model {MODEL} --alias {MODEL} --port 8000"


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ({"backend": "llamacpp"}, f"llamacpp {COMMON} --context-size 2048 --gpu-layers 0 --parallel {{slots}}"),
        (
            {"backend": "llamacpp", "device": "cuda"},
            f"llamacpp {COMMON} --context-size 2048 --gpu-layers -1 --devices 1 --parallel {{slots}}",
        ),
        (
            {
                "backend": "llamacpp",
                "device": "cuda",
                "llamacpp": {"contextSize": 512, "gpuLayers": 20, "quantization": "Q4_K_M"},
            },
            (
                f"llamacpp {COMMON} --context-size 512 --gpu-layers 20 --devices 1 --quantization Q4_K_M"
                " --parallel {slots}"
            ),
        ),
        (
            {"backend": "llamacpp", "device": "cuda", "devices": 2, "llamacpp": {"gpuLayers": 0}},
            f"llamacpp {COMMON} --context-size 2048 --gpu-layers 0 --parallel {{slots}}",
        ),
        (
            {"backend": "llamacpp", "llamacpp": {"contextSize": "auto"}},
            f"llamacpp {COMMON} --context-size auto --gpu-layers 0 --parallel {{slots}}",
        ),
        ({"backend": "vllm"}, f"vllm {COMMON} --device cpu --devices 1 --gpu-memory-utilization 0.7"),
        (
            {
                "backend": "vllm",
                "device": "cuda",
                "devices": 4,
                "vllm": {"gpuMemoryUtilization": 0.35, "maxModelLen": 4096},
            },
            f"vllm {COMMON} --device cuda --devices 4 --gpu-memory-utilization 0.35 --max-model-len 4096",
        ),
        (
            {"backend": "vllm", "vllm": {"toolCallParser": "hermes", "reasoningParser": "none"}},
            (
                f"vllm {COMMON} --device cpu --devices 1 --gpu-memory-utilization 0.7"
                " --tool-call-parser hermes --reasoning-parser none"
            ),
        ),
        ({"backend": "transformers"}, f"transformers {COMMON} --device cpu"),
        ({"backend": "transformers", "device": "cuda"}, f"transformers {COMMON} --device cuda"),
        (
            {"backend": "transformers", "device": "cuda", "devices": 2, "transformers": {"continuousBatching": True}},
            f"transformers {COMMON} --device auto --continuous-batching",
        ),
        (
            {"backend": "vllm", "engineArgs": ["--dtype", "float32"]},
            f"vllm {COMMON} --device cpu --devices 1 --gpu-memory-utilization 0.7 -- --dtype float32",
        ),
    ],
)
def test_what_the_launcher_is_told(spec: dict[str, Any], arguments: str) -> None:
    parsed = with_defaults(ModelDeploymentSpec.model_validate({"model": MODEL, "device": "cpu", **spec}))
    process = ENGINES[parsed.backend].process(parsed)
    assert " ".join(process.args) == arguments.format(slots=8)
    assert (process.port, process.health_path) == (8000, "/health")


def test_of_a_share_of_a_gpu_vllm_takes_what_it_would_of_a_whole() -> None:
    def utilization(device: str, shares: int, **settings: float) -> str:
        spec = {"model": MODEL, "backend": "vllm", "device": device, "vllm": settings}
        process = ENGINES[Backend.VLLM].process(with_defaults(ModelDeploymentSpec.model_validate(spec)), shares)
        return process.args[process.args.index("--gpu-memory-utilization") + 1]

    assert [utilization("cuda", shares) for shares in (1, 2, 3, 8)] == ["0.7", "0.35", "0.2333", "0.0875"]
    assert utilization("cuda", 2, gpuMemoryUtilization=0.9) == "0.45"
    assert utilization("cpu", 2) == "0.7"


@pytest.mark.parametrize(
    ("models", "context"),
    [
        ({"data": [{"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 8192}}]}, EngineContext(4096, 8192)),
        ({"data": [{"id": "m", "meta": {"n_ctx_train": 8192}}]}, EngineContext(None, 8192)),
        ({"data": [{"id": "m", "max_model_len": 2048}]}, EngineContext(2048)),
        ({"data": [{"id": "m", "meta": None, "max_model_len": "many"}]}, EngineContext()),
        ({"data": []}, EngineContext()),
        ({"data": "x"}, EngineContext()),
        ([], EngineContext()),
        (None, EngineContext()),
    ],
)
def test_an_engines_list_of_models_says_how_much_context_it_has(models: object, context: EngineContext) -> None:
    assert read_context(models) == context


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ([], []),
        (["--dtype", "float32"], []),
        (["--dtype=float32", "--seed", "-1"], []),
        (["--seed", "-1", "--trust-remote-code"], ["--trust-remote-code"]),
        (["--dtyp", "float32"], ["--dtyp"]),
        (["--seed", "--config", "/tmp/x"], ["--config"]),
        (["/models/other", "--seed", "1"], ["/models/other"]),
        (["-O3"], ["-O3"]),
        (["--"], ["--"]),
        (["--a=1", "--a", "--b"], ["--a", "--b"]),
    ],
)
def test_only_what_is_allowed_by_its_name(arguments: list[str], refused: list[str]) -> None:
    assert refused_arguments(arguments, ["--dtype", "--seed"]) == refused


def test_a_deployment_with_arguments_that_are_not_allowed_gets_no_pod_and_says_why() -> None:
    curious = deployment({"engineArgs": ["--mmap", "--lora", "/x"]})
    plan = make_plan(ObservedDeployment(curious, [], None), SETTINGS, NOW)
    assert not any(isinstance(action, CreatePod) for action in plan.actions)
    failure = plan.status.last_failure
    assert failure is not None
    assert failure.reason == "EngineArgsNotAllowed"
    assert failure.message == "engineArgs: --mmap, --lora may not be used with llamacpp; the administrator allows: none"

    allowing = OperatorSettings.model_validate(
        {**SETTINGS.model_dump(), "engine_args": {"allowed": {"llamacpp": ["--mmap", "--lora"]}}}
    )
    [create, *_] = make_plan(ObservedDeployment(curious, [], None), allowing, NOW).actions
    assert isinstance(create, CreatePod)
    assert create.manifest["spec"]["containers"][0]["args"][-4:] == ["--", "--mmap", "--lora", "/x"]


@pytest.mark.parametrize(
    ("device_settings", "devices", "expected"),
    [
        ({"resource_name": "nvidia.com/gpu"}, 1, {"limits": {"nvidia.com/gpu": 1}}),
        ({"resource_name": "nvidia.com/mig-1g.10gb"}, 2, {"limits": {"nvidia.com/mig-1g.10gb": 2}}),
        (
            {"resource_name": "amd.com/gpu", "resources": {"limits": {"memory": "8Gi"}}},
            1,
            {"limits": {"memory": "8Gi", "amd.com/gpu": 1}},
        ),
        ({}, 1, None),
    ],
)
def test_a_cuda_deployment_asks_for_its_devices(device_settings: dict[str, Any], devices: int, expected: Any) -> None:
    settings = OperatorSettings.model_validate(
        {
            "engines": {"llamacpp": {"cuda": {"image": "berth/llamacpp-cuda:1"}}},
            "devices": {
                "cuda": {
                    **device_settings,
                    "runtime_class_name": "nvidia",
                    "node_selector": {"gpu": "yes"},
                    "tolerations": [{"key": "gpu", "operator": "Exists"}],
                }
            },
        }
    )
    [create, *_] = make_plan(
        ObservedDeployment(deployment({"device": "cuda", "devices": devices}), [], None), settings, NOW
    ).actions
    assert isinstance(create, CreatePod)
    pod = create.manifest["spec"]
    assert pod["containers"][0].get("resources") == expected
    assert (pod["runtimeClassName"], pod["nodeSelector"], pod["tolerations"]) == (
        "nvidia",
        {"gpu": "yes"},
        [{"key": "gpu", "operator": "Exists"}],
    )
