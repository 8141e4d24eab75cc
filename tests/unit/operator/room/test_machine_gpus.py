"""One machine with GPUs: a model is counted where it is, and its engine sees the GPU that has room for it."""

import pytest

from berth_api.model_deployment import Device
from berth_cluster.cluster import Object
from berth_operator.room.places import MachineGpu, MachinePlaces
from tests.unit.operator.room.house import GB, House, created

GPUS = (
    MachineGpu("GPU 0 (large)", 8 * GB, {"CUDA_VISIBLE_DEVICES": "GPU-aa1"}),
    MachineGpu("GPU 1 (small)", 3 * GB, {"CUDA_VISIBLE_DEVICES": "GPU-bb2"}),
)


def house_of(*gpus: MachineGpu) -> House:
    return House(places=MachinePlaces(8 * GB, gpus))


async def started(house: House, name: str, model: str, device: str = "cuda") -> Object | None:
    """The deployment's pod. None: it has to wait, or is refused."""
    await house.declare(name, model, device=device)
    return created(await house.round(name))


def visible(pod: Object | None) -> str | None:
    assert pod
    env = pod["spec"]["containers"][0].get("env", [])
    return next((each["value"] for each in env if each["name"] == "CUDA_VISIBLE_DEVICES"), None)


async def test_each_model_gets_the_gpu_that_has_room() -> None:
    house = house_of(*GPUS)
    assert visible(await started(house, "a", "large")) == "GPU-aa1"
    assert visible(await started(house, "b", "small")) == "GPU-bb2"
    assert await started(house, "c", "medium") is None  # both have less than 4 GB free, though together they have 2


async def test_the_memory_of_a_gpu_is_not_the_machines() -> None:
    house = house_of(GPUS[1])
    assert await started(house, "on-gpu", "large") is None
    assert await started(house, "on-cpu", "large", "cpu")
    assert await started(house, "small", "small")


async def test_a_machine_without_a_gpu_counts_nothing_for_one() -> None:
    assert visible(await started(house_of(), "a", "huge")) is None


@pytest.mark.parametrize(
    ("selector", "place"), [({"berth.dev/gpu": "GPU 1 (small)"}, "GPU 1 (small)"), ({}, "GPU 0 (large)")]
)
def test_a_pod_stands_where_it_was_put(selector: dict[str, str], place: str) -> None:
    places = MachinePlaces(8 * GB, GPUS)
    assert places.node_of(Device.CUDA, "machine", selector) == place
    assert places.node_of(Device.CPU, "machine", {}) == "this machine"
