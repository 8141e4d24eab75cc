"""What no GPU could hold is refused before it starts, with figures and with what would fit."""

from dataclasses import replace
from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import ModelDeploymentSpec
from berth_api.room.snapshot import RoomNode, Taint
from berth_cluster.cluster import Object
from berth_formats.abilities import Abilities
from berth_formats.memory import GIB, MIB
from berth_formats.model import AttentionShape, ModelDescription
from berth_operator.room.engine_memory import needed_gpu_bytes, usable_gpu_bytes
from berth_operator.room.gpu_fit import fits_gpu, never_fits
from berth_operator.room.gpus import AllowedGpu, allowed_gpu
from berth_operator.settings import DeviceSettings

EIGHT = ModelDescription(
    format="gguf",
    architecture="llama",
    parameters=7_400_000_000,
    quantization="Q8_0",
    context_length=131_072,
    has_chat_template=True,
    file_bytes=8_310_000_000,
    attention=AttentionShape(32, 4096, 32, (8,) * 32, 128, 128),
    feed_forward_length=14336,
    vocabulary_size=49152,
    abilities=Abilities("chat"),
)
FOUR_BITS = replace(EIGHT, quantization="Q4_0", file_bytes=4_155_000_000)
TWO_BITS = replace(EIGHT, quantization="Q2_K", file_bytes=2_900_000_000)
SMALL = AllowedGpu(8 * GIB, "on node small")


def spec_of(backend: str, **settings: Any) -> ModelDeploymentSpec:
    devices = settings.pop("devices", 1)
    spec = {"model": "/models/m", "device": "cuda", "backend": backend, "devices": devices, backend: settings}
    return with_defaults(ModelDeploymentSpec.model_validate(spec))


@pytest.mark.parametrize(
    ("spec", "gib", "fits"),
    [
        (spec_of("llamacpp"), 16, True),
        (spec_of("llamacpp"), 8, False),
        (spec_of("llamacpp", gpuLayers=16), 8, True),
        (spec_of("llamacpp", devices=2), 8, True),
        (spec_of("llamacpp", contextSize=32768), 24, False),
        (spec_of("llamacpp", contextSize="auto"), 16, True),
        (spec_of("vllm"), 16, True),
        (spec_of("vllm", gpuMemoryUtilization=0.4), 16, False),
        (spec_of("vllm", maxModelLen=32768), 16, False),
        (spec_of("vllm", maxModelLen=32768), 24, True),
        (spec_of("transformers"), 8, True),
        (spec_of("transformers"), 7, False),
    ],
)
def test_weights_and_contexts_must_fit(spec: ModelDeploymentSpec, gib: int, fits: bool) -> None:
    assert fits_gpu(spec, EIGHT, AllowedGpu(gib * GIB, "")) is fits


def test_the_contexts_of_a_model_that_keeps_less_of_them_refuse_nothing() -> None:
    spec = spec_of("llamacpp", contextSize=32768)
    gpu = AllowedGpu(24 * GIB, "")
    assert not fits_gpu(spec, EIGHT, gpu)
    assert fits_gpu(spec, replace(EIGHT, saves_context=True), gpu)


@pytest.mark.parametrize(
    ("spec", "gpu", "others", "named"),
    [
        (spec_of("llamacpp", contextSize=32768), AllowedGpu(24 * GIB, ""), [], ["contextSize", "gpuLayers"]),
        (spec_of("llamacpp"), SMALL, [EIGHT, FOUR_BITS, TWO_BITS], ["gpuLayers", "quantization Q4_0"]),
        (spec_of("llamacpp"), AllowedGpu(5 * GIB, ""), [FOUR_BITS, TWO_BITS], ["gpuLayers"]),
        (spec_of("vllm", maxModelLen=32768), AllowedGpu(16 * GIB, ""), [], ["maxModelLen"]),
        (spec_of("transformers"), AllowedGpu(7 * GIB, ""), [], []),
    ],
    ids=["context", "weights", "nothing of it in the store", "vllm", "transformers"],
)
def test_what_is_named_instead_would_fit_and_a_little_more_would_not(
    spec: ModelDeploymentSpec, gpu: AllowedGpu, others: list[ModelDescription], named: list[str]
) -> None:
    message = never_fits(spec, EIGHT, gpu, others, None)
    fits = message.partition("this would fit: ")[2]
    alternatives = fits.split(" or ") if fits else []
    assert [each.rsplit(" ", 1)[0] if "quantization" not in each else each for each in alternatives] == named
    room = usable_gpu_bytes(spec, gpu.bytes)
    for each in alternatives:
        name, value = each.split(" ")
        if name != "quantization":
            step = 1 if name == "gpuLayers" else 256
            assert needed_gpu_bytes(changed(spec, name, int(value)), EIGHT) <= room
            assert needed_gpu_bytes(changed(spec, name, int(value) + step), EIGHT) > room


def changed(spec: ModelDeploymentSpec, name: str, value: int) -> ModelDeploymentSpec:
    """The spec with another value of a setting of its engine."""
    written = spec.manifest()
    written[spec.backend.value][name] = value
    return ModelDeploymentSpec.model_validate(written)


def test_the_message_has_the_figures_and_the_cpu() -> None:
    message = never_fits(spec_of("llamacpp"), EIGHT, SMALL, [FOUR_BITS], 10_000_000_000)
    assert message == (
        "it needs 8.3 GB for its weights and 2.1 GB for contexts of 2048 tokens for each request that is answered at"
        " once on the GPU, and the largest GPU has 8.6 GB (on node small); this would fit: gpuLayers 23 or"
        " quantization Q4_0 or device cpu with 10.0 GB of memory"
    )


def test_of_a_gpu_that_is_shared_the_message_speaks_of_the_share() -> None:
    share = replace(SMALL, shares=2)
    assert "and a share of the largest GPU has 8.6 GB (on node small);" in never_fits(
        spec_of("llamacpp"), EIGHT, share, [], None
    )
    assert "and 2 shares of the largest GPUs have 17.2 GB" in never_fits(
        spec_of("llamacpp", devices=2), EIGHT, share, [], None
    )


# -- Which GPU a pod may get

POD: Object = {"spec": {"nodeSelector": {"pool": "gpus"}}}
CUDA = DeviceSettings(resource_name="nvidia.com/gpu")


def node(name: str, mib: int | None, devices: int = 1, *taints: Taint, pool: str = "gpus") -> RoomNode:
    labels = {"pool": pool, **({"nvidia.com/gpu.memory": str(mib)} if mib else {})}
    return RoomNode(name, {"nvidia.com/gpu": devices}, labels, taints)


@pytest.mark.parametrize(
    ("nodes", "mib"),
    [
        ([node("a", 24_000), node("b", 81_559)], 81_559),
        ([node("a", 24_000), node("b", 81_559, pool="others")], 24_000),
        ([node("a", 24_000), node("b", 81_559, 1, Taint("reserved"))], 24_000),
        ([node("a", 24_000), node("b", None)], None),
        ([node("a", 24_000), node("b", None, 0)], 24_000),
        ([], None),
        (None, None),
    ],
    ids=["the largest", "another pool", "tainted", "one not labelled", "one without GPUs", "no node", "not known"],
)
def test_the_largest_gpu_is_that_of_the_nodes_that_let_the_pod_in(
    nodes: list[RoomNode] | None, mib: int | None
) -> None:
    found = allowed_gpu(nodes, POD, CUDA, 1)
    assert (found.bytes // MIB if found else None) == mib


def test_a_setting_says_it_where_no_label_does() -> None:
    stated = CUDA.model_copy(update={"memory": "40Gi"})
    sizes = [
        found.bytes
        for found in (
            allowed_gpu(None, POD, stated, 1),
            allowed_gpu([node("a", 24_000), node("b", None)], POD, stated, 1),
            allowed_gpu([node("a", 24_000)], POD, stated, 1),
            allowed_gpu([node("a", 24_000)], POD, stated, 1, autoscaled=True),
        )
        if found
    ]
    assert sizes == [40 * GIB, 40 * GIB, 24_000 * MIB, 40 * GIB]
    assert allowed_gpu([node("a", 24_000)], POD, CUDA, 1, autoscaled=True) is None


def test_so_many_devices_must_be_on_one_node() -> None:
    found = allowed_gpu([node("a", 24_000, 4), node("b", 81_559, 1)], POD, CUDA, 2)
    assert found == AllowedGpu(24_000 * MIB, "on node a")


def test_of_a_gpu_that_is_advertised_twice_a_pod_gets_half() -> None:
    half = CUDA.model_copy(update={"shares": 2, "memory": "40Gi"})
    assert allowed_gpu(None, POD, half, 1) == AllowedGpu(20 * GIB, "as devices.cuda.memory says", 2)
    assert allowed_gpu([node("a", 24_000, 2)], POD, half, 1) == AllowedGpu(12_000 * MIB, "on node a", 2)
    found = allowed_gpu([node("a", 24_000, 2), node("b", None, 2)], POD, half, 1)
    assert found == AllowedGpu(20 * GIB, "as devices.cuda.memory says", 2, least=12_000 * MIB)
