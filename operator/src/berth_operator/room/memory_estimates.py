"""Estimates of deployments from the files of the store, and the refusal of what no GPU could hold."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from berth_api.identity import with_defaults
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_cluster.cluster import Object
from berth_formats.model import ModelDescription
from berth_operator.room.amounts import MEMORY, quantity
from berth_operator.room.engine_memory import Surroundings, estimate
from berth_operator.room.estimates import MemoryEstimate
from berth_operator.room.gpu_fit import fits_gpu, never_fits
from berth_operator.room.gpus import allowed_gpu, stated_gpu_bytes
from berth_operator.room.model_files import ModelFiles
from berth_operator.room.places import Places
from berth_operator.settings import DeviceSettings, OperatorSettings


class MemoryEstimates:
    """Estimates the memory of deployments: that of their device, and that of the machine.

    `surroundings`: what a deployment's engine finds where it runs.
    """

    def __init__(self, files: ModelFiles, surroundings: Callable[[ModelDeploymentSpec], Surroundings]) -> None:
        self._files = files
        self._surroundings = surroundings

    async def __call__(self, spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        """None where the files say too little or are no model, or cannot be read now: then its engine says why."""
        model = await self._files.described(spec.model, quantization_of(spec))
        return estimate(spec, model, self._surroundings(spec)) if model else None


class GpuPreflight:
    """Refuses what the GPUs that a pod may get could never hold. An installation knows their size, or its nodes do."""

    def __init__(self, files: ModelFiles, settings: OperatorSettings, places: Places) -> None:
        self._files = files
        self._settings = settings
        self._places = places

    async def __call__(self, spec: ModelDeploymentSpec, pod: Object) -> str | None:
        """Why this pod can never have the memory that it needs. None: it may, as far as that is known."""
        if spec.device is not Device.CUDA:
            return None
        settings = self._settings
        device = settings.devices.get(Device.CUDA, DeviceSettings())
        autoscaled = settings.room.autoscaled
        gpu = allowed_gpu(self._places.nodes(), pod, device, spec.devices, autoscaled=autoscaled)
        model = await self._files.described(spec.model, quantization_of(spec)) if gpu else None
        spec = with_defaults(spec)
        if gpu is None or model is None or fits_gpu(spec, model, gpu):
            return None
        others = await self._files.quantizations(spec.model) if spec.backend is Backend.LLAMACPP else []
        return never_fits(spec, model, gpu, others, self._cpu_bytes(spec, model))

    def _cpu_bytes(self, spec: ModelDeploymentSpec, model: ModelDescription) -> int | None:
        if self._settings.image_for(spec.backend, Device.CPU) is None:
            return None
        on_cpu = spec.model_copy(update={"device": Device.CPU, "devices": 1})
        return estimate(on_cpu, model, Surroundings()).choices[-1].machine_bytes


def cluster_surroundings(devices: Mapping[Device, DeviceSettings]) -> Callable[[ModelDeploymentSpec], Surroundings]:
    """What engines find in a cluster: the limit of their pods' memory, and the GPUs that the settings tell of."""
    common = Surroundings(gpu=stated_gpu_bytes(devices.get(Device.CUDA, DeviceSettings())))

    def of(spec: ModelDeploymentSpec) -> Surroundings:
        stated = spec.resources.limits if spec.resources else None
        limits = stated or devices.get(spec.device, DeviceSettings()).resources.get("limits") or {}
        limit = limits.get(MEMORY)
        return replace(common, memory=quantity(MEMORY, limit) or None) if limit is not None else common

    return of


def fault_in(files: ModelFiles) -> Callable[[ModelDeploymentSpec], Awaitable[str | None]]:
    """Tells of a deployment's model why no engine could load it."""

    def of(spec: ModelDeploymentSpec) -> Awaitable[str | None]:
        return files.fault(spec.model, quantization_of(spec))

    return of


def quantization_of(spec: ModelDeploymentSpec) -> str | None:
    """The quantization that a deployment states."""
    return spec.llamacpp.quantization if spec.llamacpp else None
