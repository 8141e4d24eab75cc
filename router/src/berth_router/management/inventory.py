"""/v1/models/inventory: the models of the store, what their files say, which engines run them; and deletion."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from pydantic_core import PydanticSerializationError

from berth_api.model_deployment import MODEL_STORE, Backend, Device
from berth_formats.abilities import ModelKind
from berth_router.errors import NotOfferedError, UnknownModelError
from berth_router.lifecycle.resolve import ENGINES_FOR
from berth_router.store.descriptions import Described, Descriptions
from berth_router.store.model_store import FileType, ModelStore
from berth_router.store.removal import Remover

_GB = 1e9
_MB = 1e6

READ_SECONDS = 0.5
"""How long an answer waits for headers that have not been read. Those not read by then are marked `pending`."""


class ModelFile(BaseModel):
    """A file of a model."""

    name: str = Field(description="Its path below the model's own.")
    size_mb: float = Field(description="In millions of bytes.")
    type: FileType


class ModelOrigin(BaseModel):
    """Where a downloaded model came from."""

    repository: str = Field(description="The hub's repository, org/name.")
    commit: str = Field(description="Its commit.")


class InventoryModel(BaseModel):
    """A model of the store."""

    name: str = Field(description="Its path below the store; enough to ask for it.")
    path: str = Field(description="Its path in the store.")
    size_gb: float = Field(description="All its files, in thousands of millions of bytes.")
    files: list[ModelFile]
    recommended_backends: list[Backend] = Field(
        description="Engines of this installation that take its files, the best first."
    )
    headers: Literal["read", "pending"] = Field(
        description="Whether its files have been read. While pending, what they say is null."
    )
    format: Literal["gguf", "safetensors"] | None = Field(
        description="Format of the weights that the next fields describe."
    )
    architecture: str | None = Field(description="Such as llama or qwen3.")
    license: str | None = Field(description="As its weights or its card name it. null: they do not.")
    parameters: int | None = Field(description="Numbers in all its tensors, as they are stored.")
    quantization: str | None = Field(description="Such as Q4_K_M, BF16 or awq. null: it holds several.")
    context_length: int | None = Field(description="Tokens of context that it was made for.")
    has_chat_template: bool | None = Field(description="Whether it has a template for chats.")
    kind: ModelKind | None = Field(description="What it is for. completion: it has no template for chats.")
    tools: bool | None = Field(description="Whether its chat template tells it of tools.")
    vision: bool | None = Field(description="Whether it takes images: with GGUF, whether a projector is beside it.")
    thinking: bool | None = Field(description="Whether its chat template knows of thoughts before an answer.")
    broken: str | None = Field(
        description="Why no engine could load it, where that is known. null: nothing is known to be wrong."
    )
    manifest: ModelOrigin | None = Field(
        description="Where it was downloaded from. null: it was put there in another way."
    )


class ModelInventory(BaseModel):
    """All models of the store."""

    models: list[InventoryModel]
    total_models: int
    total_size_gb: float


def recommended_backends(formats: frozenset[str], engines: Mapping[Backend, Sequence[Device]]) -> list[Backend]:
    """The installed engines that take weights in these formats, as a request that names none prefers them."""
    by_preference = [
        backend
        for device, by_kind in ENGINES_FOR.items()
        for kind, backends in by_kind.items()
        for backend in backends
        if kind in formats and device in engines.get(backend, ())
    ]
    return list(dict.fromkeys(by_preference))


def _shown(described: Described, engines: Mapping[Backend, Sequence[Device]]) -> InventoryModel:
    model, says, origin = described.model, described.description, described.origin
    abilities = says.abilities if says else None
    return InventoryModel(
        name=model.name,
        path=model.path,
        size_gb=model.size / _GB,
        files=[ModelFile(name=file.name, size_mb=file.size / _MB, type=file.type) for file in model.files],
        recommended_backends=recommended_backends(model.formats, engines),
        headers="read" if described.read else "pending",
        format=says.format if says else None,
        architecture=says.architecture if says else None,
        license=says.licence if says else None,
        parameters=says.parameters if says else None,
        quantization=says.quantization if says else None,
        context_length=says.context_length if says else None,
        has_chat_template=says.has_chat_template if says else None,
        kind=abilities.kind if abilities else None,
        tools=abilities.tools if abilities else None,
        vision=abilities.vision if abilities else None,
        thinking=abilities.thinking if abilities else None,
        broken=described.broken,
        manifest=ModelOrigin(repository=origin.repository, commit=origin.commit) if origin else None,
    )


class DeletedModel(BaseModel):
    """What was deleted."""

    deleted: str = Field(description="The model's path in the store.")
    message: str


def store_not_writable() -> NotOfferedError:
    """The error where routers may not delete models."""
    return NotOfferedError(
        "This installation's routers may only read the model store (modelStore.routerMayDelete in the chart's values).",
        code="store_not_writable",
    )


def inventory_routes(
    store: ModelStore, descriptions: Descriptions, remover: Remover | None, engines: Mapping[Backend, Sequence[Device]]
) -> APIRouter:
    """The routes about what the store holds.

    `remover`: None where routers may not delete models. `engines`: the devices that each backend has an image for.
    """
    routes = APIRouter(tags=["models"])
    rendered: tuple[Sequence[Described], bytes] | None = None

    def render(models: Sequence[Described]) -> bytes:
        total_size = sum(described.model.size for described in models) / _GB
        shown = [_shown(described, engines) for described in models]
        inventory = ModelInventory(models=shown, total_models=len(models), total_size_gb=total_size)
        try:
            return inventory.model_dump_json().encode()
        except PydanticSerializationError:
            # The name of a file may be bytes that are no text, and a model's own JSON may have half a character.
            return json.dumps(inventory.model_dump(), ensure_ascii=False).encode(errors="replace")

    @routes.get("/v1/models/inventory", summary="What the model store holds", response_model=ModelInventory)
    async def show_inventory() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Every model of the store, running or not: its files, what their headers say, and what is wrong with it.

        Headers that are new are read for half a second. The rest is `pending`; a later answer has it.
        """
        nonlocal rendered
        models = await descriptions.of(await store.models(), READ_SECONDS)
        if rendered is None or rendered[0] is not models:
            rendered = (models, await asyncio.to_thread(render, models))
        return Response(rendered[1], media_type="application/json")

    @routes.delete("/v1/models/inventory/{name:path}", summary="Delete a model")
    async def delete_model(name: str) -> DeletedModel:  # pyright: ignore[reportUnusedFunction]
        """Deletes the files of a model for good. 409: a deployment of anybody uses it, or a download fills it."""
        if remover is None:
            raise store_not_writable()
        names = {model.name for model in await store.models()}
        if name not in names:  # the whole path is allowed too
            name = name.removeprefix(f"{MODEL_STORE.removeprefix('/')}/")
        if name not in names:
            raise UnknownModelError(
                f"The model {name[:200]!r} is not in the model store. GET /v1/models/inventory lists those there are.",
                param="name",
                code="model_not_found",
            )
        await remover.remove(name)
        return DeletedModel(deleted=f"{MODEL_STORE}/{name}", message=f"{MODEL_STORE}/{name} is deleted.")

    return routes
