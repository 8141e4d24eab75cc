"""What NVIDIA's driver tells of its GPUs by its library NVML (the package nvidia-ml-py)."""

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

import structlog

_log = structlog.get_logger(__name__)

_MODULE = "pynvml"


class DriverGpu(NamedTuple):
    """A GPU as the driver knows it, with its memory in bytes."""

    name: str
    uuid: str
    total: int
    free: int


class Driver(NamedTuple):
    """The driver's version, and its GPUs in the order of their numbers."""

    version: str
    gpus: tuple[DriverGpu, ...]


class Nvml(Protocol):
    """The functions of NVML that are called here. Each raises `NVMLError`."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: D102, N802 (NVIDIA's names)
    def nvmlShutdown(self) -> None: ...  # noqa: D102, N802
    def nvmlSystemGetDriverVersion(self) -> str: ...  # noqa: D102, N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: D102, N802
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any: ...  # noqa: D102, N802
    def nvmlDeviceGetName(self, handle: Any, /) -> str: ...  # noqa: D102, N802
    def nvmlDeviceGetUUID(self, handle: Any, /) -> str: ...  # noqa: D102, N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any: ...  # noqa: D102, N802


@cache
def ask_once() -> Driver | None:
    """What this machine's driver said when this process first asked. None: there is no driver, or it fails."""
    try:
        library = cast("Nvml", import_module(_MODULE))
    except ModuleNotFoundError:
        return None
    return ask(library)


def ask(library: Nvml) -> Driver | None:
    """What the library says. None: it finds no driver, or the driver fails."""
    try:
        library.nvmlInit()
    except library.NVMLError:  # mostly: there is no NVIDIA driver
        return None
    try:
        handles = [library.nvmlDeviceGetHandleByIndex(number) for number in range(library.nvmlDeviceGetCount())]
        found = tuple(filter(None, (_gpu(library, handle) for handle in handles)))
        return Driver(library.nvmlSystemGetDriverVersion(), found)
    except library.NVMLError as error:
        _log.warning("gpu_not_known", error=str(error))
        return None
    finally:
        library.nvmlShutdown()


def _gpu(library: Nvml, handle: Any) -> DriverGpu | None:
    """None: it has fallen off its bus, or has no memory of its own to count, as a board with memory for both."""
    try:
        name, uuid = library.nvmlDeviceGetName(handle), library.nvmlDeviceGetUUID(handle)
        memory = library.nvmlDeviceGetMemoryInfo(handle)
    except library.NVMLError as error:
        _log.warning("gpu_not_known", error=str(error))
        return None
    return DriverGpu(name, uuid, memory.total, memory.free)
