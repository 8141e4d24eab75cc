"""What this machine has for models: memory, a GPU, engines, room on the disk."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_api.model_deployment import Backend, Device
from berth_local.engines import llama_server
from berth_local.engines.discovery import ENVIRONMENT_VARIABLES, Engines, available_engines, python_engine
from berth_local.engines.gpu import find_gpus
from berth_local.engines.memory import budget
from berth_local.serve.installed import is_installed


class MachineEngine(BaseModel):
    """An engine that this machine can use."""

    name: Backend
    devices: list[Device]
    where: str = Field(description="The program, or the Python environment that has it.")
    installed: bool = Field(description="false: it is installed at the first use.")


class MachineMemory(BaseModel):
    """What all models together may take of a device's memory."""

    device: Device
    budget_bytes: int


class FoundGpu(BaseModel):
    """A GPU."""

    name: str | None = Field(description="What its maker calls it. null: not known.")
    total_bytes: int
    budget_bytes: int = Field(description="What all models on it together may take: what was free at first.")


class Machine(BaseModel):
    """This machine, as far as models go."""

    store: str = Field(description="The folder of models.")
    store_free_bytes: int | None = Field(description="What is free on its disk. null: not known.")
    memory: list[MachineMemory]
    engines: list[MachineEngine]
    gpus: list[FoundGpu] = Field(description="The GPUs that engines may see.")
    gpus_found_by: str | None = Field(description="Who told of them: NVIDIA's driver, or a llama-server.")


def describe(
    home: Path,
    store: Path,
    memory: Mapping[Device, int] | None = None,
    engines: Engines | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Machine:
    """This machine. `memory` and `engines`: those of a server that runs; None: those that one would have."""
    found = find_gpus(environment)
    memory = budget(None, found.gpus) if memory is None else memory
    engines = available_engines(environment) if engines is None else engines
    return Machine(
        store=str(store),
        store_free_bytes=_free(store),
        memory=[MachineMemory(device=device, budget_bytes=size) for device, size in memory.items()],
        engines=[_engine(backend, devices, home, environment) for backend, devices in engines.items()],
        gpus=[FoundGpu(name=gpu.name or None, total_bytes=gpu.total, budget_bytes=gpu.free) for gpu in found.gpus],
        gpus_found_by=found.by or None,
    )


def machine_routes(home: Path, store: Path, memory: Mapping[Device, int], engines: Engines) -> APIRouter:
    """The route that tells. A cluster has none: it has many machines."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models/stats/machine", summary="The machine that serves")
    def show_machine() -> Machine:  # pyright: ignore[reportUnusedFunction]
        """Memory, engines and store of the machine that serves."""
        return describe(home, store, memory, engines)

    return routes


def _engine(backend: Backend, devices: list[Device], home: Path, environment: Mapping[str, str]) -> MachineEngine:
    if backend not in ENVIRONMENT_VARIABLES:
        program = shutil.which(llama_server.PROGRAM, path=environment.get("PATH"))
        where = program or f"xllamacpp in {sys.prefix}"
        there = program is not None or importlib.util.find_spec("xllamacpp") is not None
        return MachineEngine(name=backend, devices=devices, where=where, installed=there)
    engine = python_engine(backend, home, environment)
    return MachineEngine(name=backend, devices=devices, where=str(engine.directory), installed=is_installed(engine))


def _free(store: Path) -> int | None:
    """Bytes free where the folder is, or would be."""
    there = next((folder for folder in (store, *store.absolute().parents) if folder.is_dir()), None)
    try:
        return shutil.disk_usage(there).free if there else None
    except OSError:
        return None
