"""GET /v1/models/inventory: the files of the store, and what can run them."""

import asyncio
from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from berth_api.model_deployment import Backend, Device
from berth_router.resolve import ENGINES_FOR
from berth_router.store import FileType, ModelStore, StoredModel

_GB = 1e9
_MB = 1e6


class ModelFile(BaseModel):
    """A file of a model."""

    name: str = Field(description="Its path below the model's own.")
    size_mb: float = Field(description="In millions of bytes.")
    type: FileType


class InventoryModel(BaseModel):
    """A model of the store."""

    name: str = Field(description="Its path below the store; enough to ask for it.")
    path: str = Field(description="Its path in the store.")
    size_gb: float = Field(description="All its files, in thousands of millions of bytes.")
    files: list[ModelFile]
    recommended_backends: list[Backend] = Field(description="Engines of this installation that take its files, the best first.")


class ModelInventory(BaseModel):
    """All models of the store."""

    models: list[InventoryModel]
    total_models: int
    total_size_gb: float


def recommended_backends(types: frozenset[FileType], engines: Mapping[Backend, Sequence[Device]]) -> list[Backend]:
    """The installed engines that take files of these types, in the order in which a request that names none gets them."""
    by_preference = [
        backend
        for device, by_kind in ENGINES_FOR.items()
        for kind, backends in by_kind.items()
        for backend in backends
        if kind in types and device in engines.get(backend, ())
    ]
    return list(dict.fromkeys(by_preference))


def inventory_routes(store: ModelStore, engines: Mapping[Backend, Sequence[Device]]) -> APIRouter:
    """The routes about what the store holds. `engines`: the devices that each backend has an image for."""
    routes = APIRouter(tags=["models"])
    rendered: tuple[Sequence[StoredModel], bytes] | None = None

    def describe(model: StoredModel) -> InventoryModel:
        return InventoryModel(
            name=model.name,
            path=model.path,
            size_gb=round(model.size / _GB, 3),
            files=[ModelFile(name=file.name, size_mb=round(file.size / _MB, 3), type=file.type) for file in model.files],
            recommended_backends=recommended_backends(model.types, engines),
        )

    def render(models: Sequence[StoredModel]) -> bytes:
        total_size = round(sum(model.size for model in models) / _GB, 3)
        inventory = ModelInventory(models=[describe(model) for model in models], total_models=len(models), total_size_gb=total_size)
        return inventory.model_dump_json().encode()

    @routes.get("/v1/models/inventory", summary="Files of the model store", response_model=ModelInventory)
    async def show_inventory() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Every model of the store with its files, whether it runs or not."""
        nonlocal rendered
        models = await store.models()
        if rendered is None or rendered[0] is not models:
            rendered = (models, await asyncio.to_thread(render, models))
        return Response(rendered[1], media_type="application/json")

    return routes
