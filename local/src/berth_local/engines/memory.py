"""The memory of this machine and of its GPU: what all models may take of it, and what each will take."""

from collections.abc import Sequence
from pathlib import Path

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_formats.memory import GIB
from berth_local.engines.gpu import VISIBLE, FoundGpus, Gpu
from berth_local.engines.slots import slots
from berth_local.node.environment import LLAMA_DEVICE
from berth_operator.room.engine_memory import Surroundings
from berth_operator.room.estimates import Estimate, MemoryEstimate
from berth_operator.room.memory_estimates import MemoryEstimates
from berth_operator.room.model_files import ModelFiles
from berth_operator.room.places import MachineGpu, MachinePlaces
from berth_runtime.container import usable_memory

BUDGET_SHARE = 0.75
"""The models' share of the memory of this machine, or of this container. The rest is for other programs."""

LARGEST_RESERVE_BYTES = 8 * GIB
"""The most that a large machine keeps for other programs."""


def default_budget() -> int:
    """Bytes of the machine's memory that all models may take together, unless the user allows another number."""
    usable = usable_memory()
    return max(round(usable * BUDGET_SHARE), usable - LARGEST_RESERVE_BYTES)


def budget(memory_bytes: int | None, gpus: Sequence[Gpu]) -> dict[Device, int]:
    """Bytes that the models of each device may take together. `memory_bytes`: what the user allows them."""
    main = {Device.CPU: memory_bytes or default_budget()}
    return {**main, Device.CUDA: sum(gpu.free for gpu in gpus)} if gpus else main


def places_of(memory_bytes: int, found: FoundGpus) -> MachinePlaces:
    """Where models can stand: in the machine's memory, of which they may take so much, and on each GPU."""
    return MachinePlaces(memory_bytes, [_place(number, gpu, found) for number, gpu in enumerate(found.gpus)])


def _place(number: int, gpu: Gpu, found: FoundGpus) -> MachineGpu:
    alone = len(found.gpus) == 1
    # By its identifier: CUDA counts the fastest first, and the driver by its place on the bus.
    environment = {VISIBLE: gpu.identifier} if found.nvidia and gpu.identifier and not alone else {}
    if not found.nvidia and gpu.identifier:
        environment = {LLAMA_DEVICE: gpu.identifier}
    return MachineGpu("its GPU" if alone else f"GPU {number} ({gpu.name})", gpu.free, environment)


def memory_estimates(store: Path, gpus: Sequence[Gpu] = ()) -> Estimate:
    """Estimates the memory of deployments on this machine, from the files in its store.

    Of a deployment on cuda, the memory of its GPU counts; where a share of that is asked for, that of the largest.
    """
    gpu = max((each.total for each in gpus), default=None)
    here = Surroundings(cpu_slots=slots(), memory=usable_memory(), gpu=gpu)
    estimates = MemoryEstimates(ModelFiles(store), lambda _: here)

    async def of(spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        if spec.device is Device.CUDA and (gpu is None or spec.devices > 1):
            return None
        return await estimates(spec)

    return of
