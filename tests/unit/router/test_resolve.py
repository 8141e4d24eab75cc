"""Which deployment answers which request."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from berth_api.engine_settings import ContextSize
from berth_api.identity import deployment_name
from berth_api.model_deployment import Backend, Device, ModelDeployment, ModelDeploymentSpec
from berth_router.lifecycle.resolve import Attach, Create, Policy, Refuse, match, resolve
from berth_router.request.ask import Ask, RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.store.model_store import FileType, ModelLookup

POLICY = Policy(
    engines={Backend.LLAMACPP: [Device.CPU, Device.CUDA], Backend.VLLM: [Device.CUDA]},
    default_backend=Backend.LLAMACPP,
    default_device=Device.CPU,
    default_ttl=300,
    max_deployments=3,
)
STORED = ModelLookup(exists=True)
TINY = Ask("/models/tiny")


def live(
    name: str = "a",
    *,
    phase: str | None = "Ready",
    context: int | str | None = None,
    has: int | None = None,
    trained: int | None = None,
    layers: int | None = None,
    deleting: bool = False,
    made_by: str = "berth-router",
    **spec: Any,
) -> ModelDeployment:
    full: dict[str, Any] = {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu", **spec}
    settings = {key: value for key, value in (("contextSize", context), ("gpuLayers", layers)) if value is not None}
    if settings:
        full["llamacpp"] = settings
    metadata = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app.kubernetes.io/managed-by": made_by},
        **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}),
    }
    status = {"phase": phase, "contextSize": has, "trainedContextSize": trained}
    known = {name: value for name, value in status.items() if value is not None}
    return ModelDeployment.parse({"metadata": metadata, "spec": full, "status": known})


def used(ask: Ask, *deployments: ModelDeployment) -> str | None:
    decision = resolve(ask, deployments, STORED, POLICY)
    return decision.deployment.name if isinstance(decision, Attach) else None


@pytest.mark.parametrize(
    ("ask", "deployment"),
    [
        (TINY, live()),
        (TINY, live(context=512)),
        (TINY, live(backend="vllm", device="cuda")),
        (TINY, live(phase=None)),
        (TINY, live(phase="Sleeping")),
        (Ask("/models/tiny", Backend.LLAMACPP, Device.CPU), live()),
        (Ask("/models/tiny", ttl=5), live()),
        (Ask("/models/tiny", context_size=2048), live()),
        (Ask("/models/tiny", context_size=2048), live(context=8192)),
        (Ask("/models/tiny", context_size=2048), live(context="auto")),
        (Ask("/models/tiny", context_size=8192), live(context="auto", has=8192)),
        (Ask("/models/tiny", context_size=8192), live(context="auto", has=4096, trained=4096)),
        (Ask("/models/tiny", context_size=8192), live(context=4096, has=4096, trained=4096)),
        (Ask("/models/tiny", context_size=8192), live(context=8192, has=4096, trained=4096)),
        (Ask("/models/tiny", context_size="auto"), live(context="auto")),
        (Ask("/models/tiny", context_size="auto"), live(context=4096, has=4096, trained=4096)),
        (Ask("/models/tiny", context_size="auto"), live(context=65536)),
        (Ask("/models/tiny", wished_context_size=8192), live(context="auto", has=8192)),
        (Ask("/models/tiny", gpu_layers=0), live()),
        (Ask("/models/tiny", gpu_layers=-1), live(device="cuda")),
        (Ask("/models/tiny", wished_context_size=2048), live()),
        (Ask("/models/tiny", wished_context_size=2048), live(context=8192)),
        (Ask("/models/tiny", wished_context_size=8192), live(backend="vllm", device="cuda")),
        (Ask("/models/tiny", context_size=512, wished_context_size=8192), live()),
        (Ask("/models/tiny", wished_gpu_layers=5), live()),
        (Ask("/models/tiny", wished_gpu_layers=5), live(device="cuda")),
    ],
)
def test_a_live_deployment_that_meets_what_is_stated_is_used(ask: Ask, deployment: ModelDeployment) -> None:
    assert used(ask, deployment) == "a"


@pytest.mark.parametrize(
    ("ask", "deployment"),
    [
        (Ask("/models/other"), live()),
        (TINY, live(deleting=True)),
        (Ask("/models/tiny", device=Device.CUDA), live()),
        (Ask("/models/tiny", Backend.VLLM), live()),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size=4096), live()),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size=4096), live(context="auto")),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size=8192), live(context="auto", has=4096, trained=131_072)),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size="auto"), live(context=8192, has=8192, trained=131_072)),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size="auto"), live()),
        (Ask("/models/tiny", wished_context_size=4096), live()),
        (Ask("/models/tiny", Backend.LLAMACPP, gpu_layers=5), live()),
        (Ask("/models/tiny", Backend.LLAMACPP, context_size=256), live(backend="vllm", device="cuda")),
    ],
)
def test_a_live_deployment_that_does_not_meet_it_is_left_alone(ask: Ask, deployment: ModelDeployment) -> None:
    assert isinstance(resolve(ask, [deployment], STORED, POLICY), Create)


@pytest.mark.parametrize(
    ("phases", "best"),
    [
        (("Starting", "Ready"), "b"),
        (("Sleeping", "Starting"), "b"),
        (("Stalled", "Sleeping"), "b"),
        (("Ready", "Ready"), "a"),
        ((None, "Starting"), "a"),
    ],
)
def test_of_several_the_most_ready_is_used_then_the_smallest_name(
    phases: tuple[str | None, str | None], best: str
) -> None:
    deployments = [
        live(name, phase=phase, context=size)
        for name, phase, size in zip("ba", reversed(phases), (512, 1024), strict=True)
    ]
    assert used(TINY, *deployments) == best


SMALL = live("a", context=512, has=512)
LARGE = live("b", context=8192, has=8192)


@pytest.mark.covers("a request without n_ctx, of several that run")
@pytest.mark.parametrize(
    ("deployments", "tokens", "best"),
    [
        ([SMALL, LARGE], 100, "a"),
        ([SMALL, LARGE], 513, "b"),
        ([SMALL, LARGE], 20_000, "b"),
        ([SMALL], 20_000, "a"),
        ([SMALL, live("b", context=8192, phase="Sleeping")], 513, "b"),
        ([SMALL, live("b", context=8192, phase="Sleeping")], 100, "a"),
        ([SMALL, live("b", context=8192, phase="Stalled")], 513, "a"),
        ([SMALL, live("b", context="auto", phase="Starting")], 2048, "b"),
        ([SMALL, live("b", context="auto", has=32_768), live("c", context=65_536)], 40_000, "c"),
        ([SMALL, live("b", backend="vllm", device="cuda", has=4096)], 4096, "b"),
        ([SMALL, live("b", backend="transformers")], 20_000, "b"),
    ],
    ids=[
        "both will do",
        "only the larger one has room",
        "none has room: the largest",
        "there is no choice",
        "one that sleeps is woken for it",
        "and not for less",
        "one that cannot start is no choice",
        "what every auto has is known before it runs",
        "the smallest that is not enough is no better",
        "engines that say what they have",
        "an engine that does not say may have enough",
    ],
)
def test_the_length_of_a_request_decides_among_those_that_run(
    deployments: list[ModelDeployment], tokens: int, best: str
) -> None:
    for seen in (deployments, deployments[::-1]):  # two routers may have heard of them in any order
        chosen = match(TINY, seen, tokens)
        assert chosen
        assert chosen.name == best


@pytest.mark.covers("router.defaults.contextSize")
@pytest.mark.parametrize(
    ("default", "ask", "made"),
    [
        ("auto", TINY, "auto"),
        ("auto", Ask("/models/tiny", context_size=512), 512),
        ("auto", Ask("/models/tiny", wished_context_size=2048), "auto"),
        ("auto", Ask("/models/tiny", wished_context_size=4096), 4096),
        (4096, TINY, 4096),
        (4096, Ask("/models/tiny", context_size="auto"), "auto"),
    ],
)
def test_the_installation_decides_the_context_that_nobody_states(
    default: ContextSize, ask: Ask, made: ContextSize
) -> None:
    decision = resolve(ask, [], STORED, replace(POLICY, default_context_size=default))
    assert isinstance(decision, Create)
    assert decision.spec.manifest()["llamacpp"]["contextSize"] == made


def test_what_is_created_has_the_stated_settings_the_defaults_and_the_name_of_its_identity() -> None:
    decision = resolve(Ask("/models/tiny", context_size=8192, ttl=0), [], STORED, POLICY)
    assert isinstance(decision, Create)
    assert decision.spec.manifest() == {
        "model": "/models/tiny",
        "backend": "llamacpp",
        "device": "cpu",
        "devices": 1,
        "llamacpp": {"contextSize": 8192, "gpuLayers": 0},
        "idle": {"ttlSeconds": 0, "action": "Delete"},
    }
    assert decision.name == deployment_name(decision.spec)


@pytest.mark.parametrize(
    ("ask", "settings"),
    [
        (Ask("/models/tiny", wished_context_size=8192), (8192, 0)),
        (Ask("/models/tiny", context_size=512, wished_context_size=8192), (512, 0)),
        (Ask("/models/tiny", wished_gpu_layers=5), (2048, 0)),
        (Ask("/models/tiny", device=Device.CUDA, wished_gpu_layers=5), (2048, 5)),
        (Ask("/models/tiny", device=Device.CUDA, gpu_layers=7, wished_gpu_layers=5), (2048, 7)),
    ],
)
def test_what_is_started_has_what_is_wished_for_and_not_stated(ask: Ask, settings: tuple[int, int]) -> None:
    decision = resolve(ask, [], STORED, POLICY)
    assert isinstance(decision, Create)
    assert decision.spec.llamacpp
    assert (decision.spec.llamacpp.context_size, decision.spec.llamacpp.gpu_layers) == settings


def test_a_wish_excludes_no_engine() -> None:
    wish = Ask("/models/tiny", wished_context_size=8192, wished_gpu_layers=5)
    safetensors = ModelLookup(exists=True, weights=frozenset({FileType.SAFETENSORS}))
    decision = resolve(wish, [], safetensors, POLICY)
    assert isinstance(decision, Create)
    assert decision.spec.backend is Backend.VLLM


@pytest.mark.parametrize(
    ("ask", "engine"),
    [
        (TINY, (Backend.LLAMACPP, Device.CPU)),
        (Ask("/models/tiny", device=Device.CUDA), (Backend.LLAMACPP, Device.CUDA)),
        (Ask("/models/tiny", Backend.VLLM), (Backend.VLLM, Device.CUDA)),
        (Ask("/models/tiny", Backend.LLAMACPP, gpu_layers=-1), (Backend.LLAMACPP, Device.CUDA)),
        (Ask("/models/tiny", Backend.LLAMACPP, gpu_layers=15), (Backend.LLAMACPP, Device.CUDA)),
        (Ask("/models/tiny", Backend.LLAMACPP, gpu_layers=0), (Backend.LLAMACPP, Device.CPU)),
    ],
)
def test_the_defaults_give_way_to_what_is_stated(ask: Ask, engine: tuple[Backend, Device]) -> None:
    decision = resolve(ask, [], STORED, POLICY)
    assert isinstance(decision, Create)
    assert (decision.spec.backend, decision.spec.device) == engine


def test_a_deployment_that_cannot_start_answers_for_its_own_configuration() -> None:
    assert used(TINY, live("own", phase="Stalled")) == "own"


def test_a_deployment_that_cannot_start_does_not_stand_in_the_way_of_another_configuration() -> None:
    decision = resolve(TINY, [live("huge", phase="Stalled", context=1_000_000)], STORED, POLICY)
    assert isinstance(decision, Create)
    assert decision.name == deployment_name(
        ModelDeploymentSpec(model="/models/tiny", backend=Backend.LLAMACPP, device=Device.CPU)
    )


@pytest.mark.parametrize(
    ("ask", "inventory", "deployments", "status", "says"),
    [
        (TINY, ModelLookup(exists=False, models=["/models/big"]), [], 404, "/models/big"),
        (TINY, ModelLookup(exists=False), [], 404, "It is empty"),
        (Ask("/models/tiny", Backend.TRANSFORMERS), STORED, [], 400, "llamacpp on cpu or cuda, vllm on cuda"),
        (Ask("/models/tiny", Backend.VLLM, Device.CPU), STORED, [], 400, "no engine for vllm on cpu"),
        (TINY, STORED, [live(str(number), model=f"/models/{number}") for number in range(3)], 503, "3 of 3 are live"),
    ],
)
def test_what_cannot_be_made_is_refused(
    ask: Ask, inventory: ModelLookup, deployments: list[ModelDeployment], status: int, says: str
) -> None:
    decision = resolve(ask, deployments, inventory, POLICY)
    assert isinstance(decision, Refuse)
    assert decision.error.status == status
    assert says in decision.error.message


@pytest.mark.parametrize(
    ("fields", "weights", "param", "says"),
    [
        (
            {"max_model_len": 512},
            {FileType.SAFETENSORS},
            "max_model_len",
            "`max_model_len` is a setting of backend vllm. This",
        ),
        (
            {"n_ctx": 512},
            {FileType.SAFETENSORS},
            "n_ctx",
            "`n_ctx` is a setting of backend llamacpp. /models/tiny has safetensors weights",
        ),
        (
            {"n_ctx": 512, "backend": "llamacpp"},
            {FileType.SAFETENSORS},
            "backend",
            "/models/tiny has safetensors weights",
        ),
        (
            {"max_model_len": 512},
            {FileType.GGUF},
            "max_model_len",
            (
                "`max_model_len` is a setting of backend vllm. /models/tiny has gguf weights, which vllm cannot read:"
                " it needs safetensors. llamacpp can."
            ),
        ),
        (
            {"backend": "transformers"},
            {FileType.GGUF},
            "backend",
            "/models/tiny has gguf weights, which transformers cannot read",
        ),
        (
            {"n_gpu_layers": 9},
            {FileType.GGUF},
            "n_gpu_layers",
            "`n_gpu_layers` is a setting of backend llamacpp. This installation has no engine",
        ),
    ],
)
def test_a_refusal_names_the_field_that_the_caller_wrote(
    fields: dict[str, Any], weights: set[FileType], param: str, says: str
) -> None:
    raw = orjson.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], **fields})
    ask = RequestParser({}).parse(raw, INFERENCE_PATHS["/v1/chat/completions"]).ask
    policy = replace(POLICY, engines={Backend.LLAMACPP: [Device.CPU]})
    decision = resolve(ask, [], ModelLookup(exists=True, weights=frozenset(weights)), policy)
    assert isinstance(decision, Refuse)
    assert decision.error.param == param
    assert decision.error.message.startswith(says)


def test_deployments_of_people_do_not_count_towards_the_limit() -> None:
    theirs = [live(str(number), model=f"/models/{number}", made_by="argocd") for number in range(3)]
    assert isinstance(resolve(TINY, theirs, STORED, POLICY), Create)
