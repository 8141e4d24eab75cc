"""What the operator reads of a store, and what comes of it for a deployment."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Object
from berth_operator.deployments.reconciler import DeploymentReconciler, Room
from berth_operator.deployments.view import DeploymentView
from berth_operator.objects.parts import condition, status_of
from berth_operator.room.engine_memory import Surroundings
from berth_operator.room.memory_estimates import GpuPreflight, MemoryEstimates, cluster_surroundings
from berth_operator.room.model_files import ModelFiles
from berth_operator.room.places import NodePlaces, Places
from berth_operator.settings import DeviceSettings, OperatorSettings
from tests.unit.formats.weights import write_checkpoint, write_gguf
from tests.unit.operator.building import SETTINGS
from tests.unit.operator.world import Operator, World
from tests.unit.virtual_time import run_in_virtual_time, wall_clock

MIB = 1 << 20
EMPTY = RoomSettings()


def spec_of(**spec: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate({"model": "/models/tiny", "backend": "llamacpp", "device": "cpu", **spec})


async def test_a_description_follows_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_operator.room.model_files._FRESH_SECONDS", 0.0)
    files = ModelFiles(tmp_path)
    assert await files.described("/models/tiny", None) is None
    write_gguf(tmp_path / "tiny" / "tiny.gguf", context=4096)
    first = await files.described("/models/tiny", None)
    write_gguf(tmp_path / "tiny" / "tiny.gguf", context=16384, tokens=400)
    second = await files.described("/models/tiny", None)
    assert first
    assert second
    assert (first.context_length, second.context_length) == (4096, 16384)


async def test_a_store_that_hangs_holds_up_nobody_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hangs(*_: object) -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

    monkeypatch.setattr("berth_operator.room.model_files.describe", hangs)
    monkeypatch.setattr("berth_operator.room.model_files._PATIENCE_SECONDS", 0.05)
    write_gguf(tmp_path / "tiny" / "tiny.gguf")
    files = ModelFiles(tmp_path)
    assert await files.described("/models/tiny", None) is None
    before = loop.time()
    assert await files.described("/models/tiny", None) is None
    assert loop.time() - before < 0.05
    released.set()


async def test_the_quantizations_of_a_store_the_largest_first(tmp_path: Path) -> None:
    for name, tokens in (("Q4_0", 100), ("Q8_0", 2000), ("broken-Q2_K", 0)):
        write_gguf(tmp_path / "tiny" / f"tiny-{name}.gguf", tokens=tokens)
    (tmp_path / "tiny" / "tiny-broken-Q2_K.gguf").write_bytes(b"GGUF")
    found = await ModelFiles(tmp_path).quantizations("/models/tiny")
    assert [each.quantization for each in found] == ["Q8_0", "Q4_0"]
    assert await ModelFiles(tmp_path).quantizations("/models/absent") == []


def test_what_an_engine_finds_in_a_cluster() -> None:
    devices = {
        Device.CPU: DeviceSettings(resources={"limits": {"memory": "2Gi"}}),
        Device.CUDA: DeviceSettings(memory="80Gi"),
    }
    surroundings = cluster_surroundings(devices)
    assert surroundings(spec_of()) == Surroundings(memory=2048 * MIB, gpu=80 * 1024 * MIB)
    assert surroundings(spec_of(resources={"limits": {"memory": "1Gi"}})).memory == 1024 * MIB
    assert surroundings(spec_of(device="cuda")).memory is None
    assert cluster_surroundings({})(spec_of()) == Surroundings()
    halves = {Device.CUDA: DeviceSettings(resource_name="nvidia.com/gpu", memory="80Gi", shares=2)}
    assert cluster_surroundings(halves)(spec_of(device="cuda")).gpu == 40 * 1024 * MIB


@pytest.mark.parametrize(
    "spec",
    [
        {"llamacpp": {"contextSize": 2048}},
        {"device": "cuda", "devices": 2},
        {"backend": "vllm", "device": "cuda"},
        {"backend": "vllm", "device": "cuda", "devices": 4},
        {"backend": "transformers", "device": "cuda", "transformers": {"continuousBatching": True}},
        {"backend": "transformers"},
        {"backend": "vllm"},
    ],
    ids=str,
)
async def test_every_engine_takes_memory_of_the_machine(tmp_path: Path, spec: dict[str, Any]) -> None:
    write_gguf(tmp_path / "tiny" / "tiny.gguf")
    write_checkpoint(tmp_path / "checkpoint")
    model = "/models/tiny" if spec.get("backend") is None else "/models/checkpoint"
    estimates = MemoryEstimates(ModelFiles(tmp_path), cluster_surroundings({}))
    found = await estimates(spec_of(**{"model": model, **spec}))
    assert found
    [choice] = found.choices
    assert choice.machine_bytes
    assert choice.machine_bytes > 64 * MIB
    if spec.get("device") is None:
        assert choice.bytes == choice.machine_bytes


# -- In a cluster


@pytest.fixture
def reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read on the loop: its clock must not run ahead meanwhile."""

    async def at_once(work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def operator_of(
    settings: OperatorSettings, store: Path, answers: World, cluster: Any, places: Places | None = None
) -> Operator:
    view = DeploymentView(cluster)
    places, files = places or NodePlaces(settings.devices), ModelFiles(store)
    estimates = MemoryEstimates(files, cluster_surroundings(settings.devices))
    room = Room(places, EMPTY, estimates, GpuPreflight(files, settings, places))
    reconciler = DeploymentReconciler(view, answers, settings, clock=wall_clock, room=room)
    return Operator([view.run()], reconciler.close)


def in_a_cluster(tmp_path: Path, devices: dict[str, Any], spec: dict[str, Any]) -> tuple[Object, list[Object]]:
    """The status of a deployment of a tiny model as soon as it is ready or stalled, and its pods."""
    write_gguf(tmp_path / "tiny" / "tiny.gguf")
    settings = SETTINGS.model_validate({**SETTINGS.model_dump(by_alias=True), "devices": devices})

    async def whole() -> tuple[Object, list[Object]]:
        world = World(lambda cluster, world: operator_of(settings, tmp_path, world, cluster), MODEL_DEPLOYMENTS)
        async with world:
            kind = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
            item = {**kind, "metadata": {"name": "smol"}, "spec": spec_of(**spec).manifest()}
            await world.cluster.create(MODEL_DEPLOYMENTS, item)
            found = await world.until(lambda each: each and status_of(each).get("phase") in ("Ready", "Stalled"))
            assert found
            await asyncio.sleep(60)
            world.check()
            assert world.writes_without_news() == []
            return found, list((await world.cluster.list(PODS)).items)

    return run_in_virtual_time(whole())


@pytest.mark.usefixtures("reads_at_once")
def test_an_engine_requests_its_estimate_and_its_deployment_says_it(tmp_path: Path) -> None:
    found, [pod] = in_a_cluster(tmp_path, {"cpu": {"cpuRequest": "250m"}}, {})
    requests = pod["spec"]["containers"][0]["resources"]["requests"]
    size = status_of(found)["memoryBytes"]
    assert requests == {"cpu": "250m", "memory": f"{-(-size // MIB)}Mi"}


@pytest.mark.usefixtures("reads_at_once")
def test_what_no_gpu_could_hold_is_refused_at_once_and_has_no_pod(tmp_path: Path) -> None:
    tiny = {"cuda": {"resourceName": "nvidia.com/gpu", "memory": "1Mi"}}
    found, pods = in_a_cluster(tmp_path, tiny, {"device": "cuda", "llamacpp": {"contextSize": 2048}})
    stalled = condition(found, "Stalled")
    assert pods == []
    assert stalled
    assert (stalled["status"], stalled["reason"]) == ("True", "NeverFits")
    assert "the largest GPU has 1 MB (as devices.cuda.memory says)" in stalled["message"]
    assert "device cpu with " in stalled["message"]
