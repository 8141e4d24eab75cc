"""The GPU as its driver's program tells of it, and what models are estimated to take of it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_formats.abilities import Abilities
from berth_formats.memory import GIB, MIB
from berth_formats.model import AttentionShape, ModelDescription
from berth_local.engines.gpu import FoundGpus, Gpu, find_gpus, parsed, seen_of, wanted_of
from berth_local.engines.memory import budget, memory_estimates, places_of
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
    assert find_gpus(path) == FoundGpus((H100,), "nvidia-smi", nvidia=True)
    assert find_gpus({**path, "CUDA_VISIBLE_DEVICES": "1,0"}).gpus == (Gpu(24564 * MIB, 24000 * MIB),)
    assert find_gpus({**path, "CUDA_VISIBLE_DEVICES": ""}) == FoundGpus()
    assert find_gpus({"PATH": str(tmp_path / "elsewhere")}) == FoundGpus()


class DriverError(Exception):
    """What the driver's library raises."""


class MadeUpNvml:
    """A driver's library that knows these GPUs: name, identifier, bytes in all and free. None: one that has failed."""

    NVMLError: type[Exception] = DriverError

    def __init__(self, *gpus: tuple[str, str, int, int] | None, driver: bool = True) -> None:
        self._gpus = gpus
        self._driver = driver
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802 (NVIDIA's name)
        if not self._driver:
            raise DriverError("NVML Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802 (NVIDIA's name)
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802 (NVIDIA's name)
        return "580.159.04"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 (NVIDIA's name)
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> int:  # noqa: N802 (NVIDIA's name)
        return index

    def nvmlDeviceGetName(self, handle: int, /) -> str:  # noqa: N802 (NVIDIA's name)
        return self._known(handle)[0]

    def nvmlDeviceGetUUID(self, handle: int, /) -> str:  # noqa: N802 (NVIDIA's name)
        return self._known(handle)[1]

    def nvmlDeviceGetMemoryInfo(self, handle: int, /) -> SimpleNamespace:  # noqa: N802 (NVIDIA's name)
        return SimpleNamespace(total=self._known(handle)[2], free=self._known(handle)[3])

    def _known(self, handle: int) -> tuple[str, str, int, int]:
        gpu = self._gpus[handle]
        if gpu is None:
            raise DriverError("GPU is lost")
        return gpu


LARGE = ("NVIDIA H100 80GB HBM3", "GPU-aa1", 80 * GIB, 79 * GIB)
SMALL = ("NVIDIA RTX 4090", "GPU-bb2", 24 * GIB, 23 * GIB)


def test_nvidias_library_tells_of_every_gpu_and_is_let_go() -> None:
    library = MadeUpNvml(LARGE, SMALL)
    large, small = (Gpu(total, free, name, identifier) for name, identifier, total, free in (LARGE, SMALL))
    assert find_gpus({}, library) == FoundGpus((large, small), "NVML (driver 580.159.04)", nvidia=True)
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "1"}, library).gpus == (small,)
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}, library) == FoundGpus()
    assert library.open == 0


def test_a_gpu_that_has_failed_does_not_hide_the_others() -> None:
    assert [gpu.name for gpu in find_gpus({}, MadeUpNvml(None, SMALL)).gpus] == ["NVIDIA RTX 4090"]


def test_without_nvidias_library_its_program_is_asked(tmp_path: Path) -> None:
    path = {"PATH": f"{program(tmp_path, 'nvidia-smi', SCRIPTS['nvidia-smi'])}"}
    assert find_gpus(path, MadeUpNvml(driver=False)) == FoundGpus((H100,), "nvidia-smi", nvidia=True)


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["a", "b"]),
        ("1,0", ["b", "a"]),
        ("GPU-b", ["b"]),
        ("0, GPU-bb2", ["a", "b"]),
        ("0,7,1", ["a"]),
        ("-1", []),
        ("GPU-", []),
        ("0,0", ["a"]),
    ],
)
def test_engines_see_what_cuda_lets_them_see(visible: str | None, seen: list[str]) -> None:
    gpus = [Gpu(1, 1, "a", "GPU-aa1"), Gpu(1, 1, "b", "GPU-bb2")]
    assert [gpu.name for gpu in seen_of(gpus, visible)] == seen


VULKAN = """
echo "ggml_vulkan: Found 1 Vulkan devices:" >&2
echo "Available devices:"
echo "  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)"
"""


def test_a_llama_server_tells_of_other_makers_gpus(tmp_path: Path) -> None:
    path = program(tmp_path, "llama-server", VULKAN)
    found = find_gpus({"PATH": str(path), "GGML_VK_VISIBLE_DEVICES": "0"}, MadeUpNvml(driver=False))
    radeon = Gpu(24560 * MIB, 24000 * MIB, "AMD Radeon RX 7900 XTX (RADV NAVI31) (Vulkan0)", "Vulkan0")
    assert found == FoundGpus((radeon,), str(path / "llama-server"), nvidia=False)


SEVERAL = """
echo "  Vulkan0: AMD Radeon 780M Graphics (RADV PHOENIX) (48000 MiB, 47000 MiB free)"
echo "  Vulkan1: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)"
echo "  Vulkan2: Intel(R) Arc(tm) A770 Graphics (DG2) (16288 MiB, 14000 MiB free)"
"""


@pytest.mark.parametrize(
    ("stated", "chosen"),
    [
        (None, ["Vulkan1", "Vulkan2"]),
        ("Vulkan2", ["Vulkan2"]),
        ("Vulkan2,Vulkan0", ["Vulkan2", "Vulkan0"]),
        ("none", []),
    ],
)
def test_of_several_gpus_those_are_used_that_have_memory_or_that_the_user_states(
    tmp_path: Path, stated: str | None, chosen: list[str]
) -> None:
    environment = {"PATH": str(program(tmp_path, "llama-server", SEVERAL)), "GGML_VK_VISIBLE_DEVICES": "0,1,2"}
    found = find_gpus(environment | ({"LLAMA_ARG_DEVICE": stated} if stated else {}), MadeUpNvml(driver=False))
    assert [gpu.identifier for gpu in found.gpus] == chosen
    pod = {"spec": {"containers": [{"name": "engine"}]}}
    places = places_of(5 * GIB, found)
    nodes = [node for node in places.nodes() or () if "GPU" in node.name]
    for node, name in zip(nodes, chosen, strict=True):
        [engine] = places.placed(pod, node.name)["spec"]["containers"]
        assert engine["env"] == [{"name": "LLAMA_ARG_DEVICE", "value": name}]


def test_where_there_is_no_other_gpu_that_of_the_processor_is_used() -> None:
    inside = Gpu(1, 1, "Intel(R) UHD Graphics 770 (ADL-S GT1) (Vulkan0)", "Vulkan0")
    assert wanted_of([inside], None) == [inside]


def test_all_gpus_together_have_a_budget_and_each_has_its_own() -> None:
    other = Gpu(24564 * MIB, 24000 * MIB, "NVIDIA RTX 4090", "GPU-bb2")
    assert budget(5 * GIB, (H100, other)) == {Device.CPU: 5 * GIB, Device.CUDA: (81079 + 24000) * MIB}
    assert budget(5 * GIB, ()) == {Device.CPU: 5 * GIB}
    nodes = places_of(5 * GIB, FoundGpus((H100, other), "NVML")).nodes() or ()
    assert [node.allocatable["memory"] for node in nodes] == [5 * GIB, 81079 * MIB, 24000 * MIB]


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
    estimates = memory_estimates(tmp_path, (H100,))
    small, large = await estimates(on_cpu), await estimates(on_gpu)
    assert small
    assert large
    assert (small.choices[0].bytes or 0) < 700 * MIB < (large.choices[0].bytes or 0)
    assert await estimates(on_two) is None
    assert await memory_estimates(tmp_path)(on_gpu) is None
