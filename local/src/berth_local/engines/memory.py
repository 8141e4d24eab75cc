"""The memory of this machine and of its GPU: what all models may take of it, and what each will take."""

from pathlib import Path

from berth_api.model_deployment import Device, ModelDeploymentSpec
from berth_formats.memory import GIB
from berth_local.engines.gpu import Gpu
from berth_local.engines.slots import slots
from berth_operator.room.engine_memory import Surroundings
from berth_operator.room.estimates import Estimate, MemoryEstimate
from berth_operator.room.memory_estimates import MemoryEstimates
from berth_operator.room.model_files import ModelFiles
from berth_runtime.container import usable_memory

BUDGET_SHARE = 0.75
"""The models' share of the memory of this machine, or of this container. The rest is for other programs."""

LARGEST_RESERVE_BYTES = 8 * GIB
"""The most that a large machine keeps for other programs."""


def default_budget() -> int:
    """Bytes of the machine's memory that all models may take together, unless the user allows another number."""
    usable = usable_memory()
    return max(round(usable * BUDGET_SHARE), usable - LARGEST_RESERVE_BYTES)


def budget(memory_bytes: int | None, gpu: Gpu | None) -> dict[Device, int]:
    """Bytes that the models of each device may take together. `memory_bytes`: what the user allows them."""
    main = {Device.CPU: memory_bytes or default_budget()}
    return {**main, Device.CUDA: gpu.free} if gpu else main


def memory_estimates(store: Path, gpu: Gpu | None = None) -> Estimate:
    """Estimates the memory of deployments on this machine, from the files in its store.

    Of a deployment on cuda, the memory of its GPU counts.
    """
    here = Surroundings(cpu_slots=slots(), memory=usable_memory(), gpu=gpu.total if gpu else None)
    estimates = MemoryEstimates(ModelFiles(store), lambda _: here)

    async def of(spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        if spec.device is Device.CUDA and (gpu is None or spec.devices > 1):
            return None
        return await estimates(spec)

    return of
