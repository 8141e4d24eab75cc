"""The GPU as its driver's program tells of it, and what models are estimated to take of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_formats.abilities import Abilities
from berth_formats.memory import GIB, MIB
from berth_formats.model import AttentionShape, ModelDescription
from berth_local.engines.gpu import Gpu, first_gpu, parsed
from berth_local.engines.memory import budget, memory_estimates
from berth_operator.room.engine_memory import gpu_bytes
from tests.unit.formats.weights import write_gguf
from tests.unit.local.engines.test_engines import SCRIPTS, program

H100 = Gpu(81559 * MIB, 81079 * MIB)
SMOL = ModelDescription(
    format="gguf",
    architecture="llama",
    parameters=134_515_008,
    quantization="Q4_1",
    context_length=8192,
    has_chat_template=True,
    file_bytes=98_362_432,
    attention=AttentionShape(30, 576, 9, (3,) * 30, 64, 64),
    feed_forward_length=1536,
    vocabulary_size=49152,
    abilities=Abilities("chat"),
)
EIGHT = replace(
    SMOL,
    file_bytes=4_155_212_672,
    attention=AttentionShape(32, 4096, 32, (8,) * 32, 128, 128),
    feed_forward_length=14336,
)
THREE = replace(
    SMOL,
    file_bytes=5_939_514_096,
    attention=AttentionShape(28, 3072, 24, (8,) * 28, 128, 128),
    feed_forward_length=8192,
)


@pytest.mark.parametrize(
    ("told", "gpu"),
    [
        ("81559, 81079\n", H100),
        ("81559, 81079\n24564, 24000\n", H100),
        ("", None),
        ("No devices were found\n", None),
        ("[N/A], [N/A]\n", None),
    ],
)
def test_what_nvidia_smi_tells(told: str, gpu: Gpu | None) -> None:
    assert parsed(told) == gpu


def test_the_gpu_is_the_first_that_engines_see(tmp_path: Path) -> None:
    script = f'case "$*" in *--id=1) echo "24564, 24000";; *) {SCRIPTS["nvidia-smi"]};; esac'
    path = {"PATH": f"{program(tmp_path, 'nvidia-smi', script)}"}
    assert first_gpu(path) == H100
    assert first_gpu({**path, "CUDA_VISIBLE_DEVICES": "1,0"}) == Gpu(24564 * MIB, 24000 * MIB)
    assert first_gpu({**path, "CUDA_VISIBLE_DEVICES": ""}) is None
    assert first_gpu({"PATH": str(tmp_path / "elsewhere")}) is None


def test_the_gpu_has_a_budget_of_its_own() -> None:
    assert budget(5 * GIB, H100) == {Device.CPU: 5 * GIB, Device.CUDA: 81079 * MIB}
    assert budget(5 * GIB, None) == {Device.CPU: 5 * GIB}


@pytest.mark.parametrize(
    ("model", "settings", "measured_mib"),
    [
        (SMOL, {"backend": "llamacpp"}, 1157),
        (SMOL, {"backend": "llamacpp", "llamacpp": {"gpuLayers": 15}}, 927),
        (SMOL, {"backend": "llamacpp", "llamacpp": {"gpuLayers": 0}}, 731),
        (EIGHT, {"backend": "llamacpp"}, 6623),
        (EIGHT, {"backend": "llamacpp", "llamacpp": {"gpuLayers": 999}}, 6623),
        (EIGHT, {"backend": "llamacpp", "llamacpp": {"gpuLayers": 16}}, 3553),
        (EIGHT, {"backend": "llamacpp", "llamacpp": {"gpuLayers": 0}}, 809),
        (THREE, {"backend": "transformers"}, 6407),
        (THREE, {"backend": "transformers", "transformers": {"continuousBatching": True}}, 66881),
    ],
)
def test_the_estimate_bounds_what_an_h100_had_given_and_is_near_it(
    model: ModelDescription, settings: dict[str, Any], measured_mib: int
) -> None:
    spec = ModelDeploymentSpec.model_validate({"model": "/models/m", "device": "cuda", **settings})
    estimated = gpu_bytes(with_defaults(spec), model, H100.total)
    assert estimated
    assert measured_mib < estimated / MIB < 1.35 * measured_mib


def test_vllm_takes_its_share_of_the_whole() -> None:
    spec = ModelDeploymentSpec.model_validate({"model": "/models/m", "device": "cuda", "backend": "vllm"})
    assert gpu_bytes(with_defaults(spec), THREE, H100.total) == round(0.7 * H100.total)


async def test_a_deployment_is_estimated_for_its_own_device(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny" / "tiny.gguf")
    on_cpu, on_gpu, on_two = (
        ModelDeploymentSpec.model_validate({"model": "/models/tiny", "backend": "llamacpp", **device})
        for device in ({"device": "cpu"}, {"device": "cuda"}, {"device": "cuda", "devices": 2})
    )
    estimates = memory_estimates(tmp_path, H100)
    small, large = await estimates(on_cpu), await estimates(on_gpu)
    assert small
    assert large
    assert (small.choices[0].bytes or 0) < 700 * MIB < (large.choices[0].bytes or 0)
    assert await estimates(on_two) is None
    assert await memory_estimates(tmp_path)(on_gpu) is None
