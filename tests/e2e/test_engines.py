"""Three engines on a real node: the same question, each with its own settings, and GPUs as the scheduler sees them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import LABEL_DEPLOYMENT, MODEL_DEPLOYMENTS, Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.e2e.release import CAPITAL, MODEL, SAFETENSORS, Release, install
from tests.kubectl import Kubectl

GPU = "nvidia.com/gpu"


async def ask(berth: Release, model: str, **fields: Any) -> str:
    """The answer to the question, without chance."""
    body = {"model": model, "messages": CAPITAL, "max_tokens": 16, "temperature": 0, **fields}
    status, answer, _ = await berth.post("/v1/chat/completions", body)
    assert status == 200, answer
    assert (answer["object"], answer["model"]) == ("chat.completion", model)
    return answer["choices"][0]["message"]["content"]


async def stream(berth: Release, model: str, **fields: Any) -> str:
    """The same, piece by piece."""
    chunks = await berth.openai().chat.completions.create(
        model=model, messages=CAPITAL, max_tokens=16, temperature=0, stream=True, extra_body=fields
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


def command_line(berth: Release, pod: Object) -> list[str]:
    """The arguments of the engine's process itself, the first that the container's init started."""
    show = 'for file in /proc/[0-9]*/status; do grep -q "^PPid:.1$" $file && cat ${file%status}cmdline && break; done'
    return berth.kubectl.run("exec", pod["metadata"]["name"], "--", "sh", "-c", show).split("\0")


def settings_of(berth: Release, pod: Object) -> dict[str, str]:
    """Options of the engine's process with what follows them."""
    return dict(pairwise(command_line(berth, pod)))


async def pod_of(berth: Release, deployment: ModelDeployment) -> Object:
    [pod] = [pod for pod in await berth.engine_pods() if pod["metadata"]["labels"][LABEL_DEPLOYMENT] == deployment.name]
    return pod


async def answers_nobody_without_its_key(berth: Release, deployment: ModelDeployment) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{deployment.status.endpoint}/v1/chat/completions", json={"messages": CAPITAL}) as answer,
    ):
        assert answer.status == 401
    pod = await pod_of(berth, deployment)
    assert berth.engine_key(deployment.name) not in json.dumps(pod) + " ".join(command_line(berth, pod))


async def test_llamacpp(berth: Release) -> None:
    whole = await ask(berth, MODEL, backend="llamacpp", device="cpu", n_ctx=1024, n_gpu_layers=0)
    assert "Paris" in whole
    assert await stream(berth, MODEL, backend="llamacpp", device="cpu") == whole
    [deployment] = await berth.deployments()
    settings = settings_of(berth, await pod_of(berth, deployment))
    slots = int(settings["--parallel"])
    assert (settings["--model"].startswith(MODEL), settings["--ctx-size"], settings["--n-gpu-layers"]) == (
        True,
        str(1024 * slots),
        "0",
    )
    await answers_nobody_without_its_key(berth, deployment)


async def test_transformers(berth: Release) -> None:
    whole = await ask(berth, SAFETENSORS, backend="transformers", device="cpu")
    assert "Paris" in whole
    assert await stream(berth, SAFETENSORS) == whole
    [deployment] = await berth.deployments()
    call = command_line(berth, await pod_of(berth, deployment))
    settings = dict(pairwise(call))
    assert (settings["serve"], settings["--device"]) == (SAFETENSORS, "cpu")
    assert "--continuous-batching" not in call
    await answers_nobody_without_its_key(berth, deployment)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"backend": "ollama"}, "backend"),
        ({"device": "tpu"}, "device"),
        ({"ttl": -1}, "ttl"),
        ({"n_ctx": 255}, "n_ctx"),
        ({"n_gpu_layers": -2}, "n_gpu_layers"),
        ({"gpu_memory_utilization": 1.01}, "gpu_memory_utilization"),
        ({"max_model_len": 0}, "max_model_len"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"n_ctx": 512, "backend": "vllm"}, "n_ctx"),
    ],
)
async def test_a_wrong_value_is_refused_by_its_name_and_starts_nothing(
    berth: Release, fields: dict[str, Any], param: str
) -> None:
    status, answer, _ = await berth.post("/v1/chat/completions", {"model": MODEL, "messages": CAPITAL, **fields})
    assert (status, answer["error"]["param"]) == (400, param)
    assert f"`{param}`" in answer["error"]["message"]
    assert await berth.deployments() == []


async def test_what_only_a_resource_can_state(berth: Release) -> None:
    berth.kubectl.apply(manifest("batched", "transformers", "cpu", transformers={"continuousBatching": True}))
    berth.kubectl.apply(manifest("quantized", "llamacpp", "cpu", MODEL, llamacpp={"quantization": "Q4_1"}))
    batched, quantized = await berth.until(MODEL_DEPLOYMENTS, both_ready)
    assert "--continuous-batching" in command_line(berth, await pod_of(berth, batched))
    assert settings_of(berth, await pod_of(berth, quantized))["--model"].endswith("Q4_1.gguf")


def both_ready(objects: dict[str, Object]) -> tuple[ModelDeployment, ...] | None:
    """Both deployments, by name, once the engines of both answer."""
    deployments = tuple(ModelDeployment.parse(objects[name]) for name in sorted(objects))
    return deployments if [each.status.phase for each in deployments] == ["Ready", "Ready"] else None


async def test_vllm_in_two_configurations_of_one_model(berth: Release) -> None:
    stated: list[dict[str, Any]] = [
        {"gpu_memory_utilization": 0.3, "max_model_len": 1024},
        {"gpu_memory_utilization": 0.2, "max_model_len": 2048},
    ]
    answers = await asyncio.gather(
        *(ask(berth, SAFETENSORS, backend="vllm", device="cpu", **fields) for fields in stated)
    )
    assert all("Paris" in answer for answer in answers)
    assert await stream(berth, SAFETENSORS, backend="vllm", **stated[0]) == answers[0]
    deployments = await berth.deployments()
    assert len(deployments) == 2
    running: list[dict[str, Any]] = []
    for deployment in deployments:
        pod = await pod_of(berth, deployment)
        kept = berth.kubectl.run("exec", pod["metadata"]["name"], "--", "find", "/compiled", "-type", "f")
        assert "/compiled/vllm/modelinfos/" in kept, "the next start finds it there"
        settings = settings_of(berth, pod)
        assert (settings["serve"], settings["--served-model-name"], settings["--tensor-parallel-size"]) == (
            SAFETENSORS,
            SAFETENSORS,
            "1",
        )
        running.append(
            {
                "gpu_memory_utilization": float(settings["--gpu-memory-utilization"]),
                "max_model_len": int(settings["--max-model-len"]),
            }
        )
    assert sorted(running, key=json.dumps) == sorted(stated, key=json.dumps)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        # Longer than the config's max_position_embeddings, which its YaRN scaling allows.
        ("/models/tiny-qwen3-yarn", {"max_model_len": 2048}),
        ("/models/tiny-phi3-longrope", {}),
    ],
)
async def test_vllm_with_scaled_positions(berth: Release, model: str, fields: dict[str, Any]) -> None:
    assert await ask(berth, model, backend="vllm", device="cpu", **fields), "random weights say something"


async def test_engine_arguments_that_the_administrator_did_not_allow(berth: Release) -> None:
    berth.kubectl.apply(manifest("curious", "transformers", "cpu", engineArgs=["--trust-remote-code"]))
    deployment = await berth.until_phase("Stalled")
    condition = condition_of(deployment.status.conditions, ConditionType.STALLED)
    assert condition is not None
    assert condition.reason == "EngineArgsNotAllowed"
    assert "--trust-remote-code" in condition.message
    assert await berth.engine_pods() == []


def manifest(name: str, backend: str, device: str, model: str = SAFETENSORS, **spec: Any) -> Object:
    return {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {"model": model, "backend": backend, "device": device, **spec},
    }


@pytest.fixture
def one_gpu(test_cluster: Kubectl) -> Iterator[None]:
    """The node says that it has one GPU. What is scheduled there finds none, and computes on the processor."""
    [node, *_] = test_cluster.json("get", "nodes")["items"]
    field = f"/status/capacity/{GPU.replace('/', '~1')}"

    def patch(operation: str, **value: str) -> None:
        change = json.dumps([{"op": operation, "path": field, **value}])
        test_cluster.run(
            "patch", "node", node["metadata"]["name"], "--subresource=status", "--type=json", "--patch", change
        )

    patch("add", value="1")
    yield
    patch("remove")


@pytest.fixture
async def with_gpus(
    one_gpu: None, test_cluster: Kubectl, crds: None, images: dict[str, str], release: Release
) -> AsyncIterator[Release]:
    """A release that offers llama.cpp on GPUs, by its image for processors."""
    del release  # its images and models are in the cluster
    allowed = "engineArgs.allowed.llamacpp={--seed}"
    places = {"engines.llamacpp.cuda.image": "llamacpp"}
    namespace = make_namespace(test_cluster, f"berth-e2e-{secrets.token_hex(3)}")
    installed = install(
        namespace, images, "router.replicas=1", "operator.timing.unschedulableGrace=1", allowed, more_images=places
    )
    cluster = await KubernetesCluster.connect(installed.kubectl.namespace)
    installed.watch_with(cluster)
    yield installed
    await cluster.close()
    installed.uninstall()


async def test_two_that_want_the_only_gpu(with_gpus: Release, models: Path) -> None:
    berth = with_gpus
    berth.load_model(models / "SmolLM2-135M-Instruct")
    berth.kubectl.apply(manifest("first", "llamacpp", "cuda", MODEL, engineArgs=["--seed", "7"]))
    await berth.until_deployment(lambda each: each.name == "first" and each.status.phase == "Ready")
    [pod] = await berth.engine_pods()
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {GPU: "1"}
    settings = settings_of(berth, pod)
    assert (settings["--n-gpu-layers"], settings["--seed"]) == ("all", "7")

    berth.kubectl.apply(manifest("second", "llamacpp", "cuda", MODEL))
    waiting = await berth.until_deployment(lambda each: each.name == "second" and each.status.phase == "Stalled")
    condition = condition_of(waiting.status.conditions, ConditionType.STALLED)
    assert condition is not None
    assert condition.reason == "DevicesUnavailable"
    assert condition.message.startswith(f"no node has 1 {GPU} free: it starts when a pod that holds one has gone")

    berth.kubectl.run("delete", "md", "first")
    await berth.until_deployment(lambda each: each.name == "second" and each.status.phase == "Ready")
