"""What Ollama's clients ask besides answers: `/`, /api/version, /api/tags, /api/ps and /api/show.

`ollama_schema.py` describes these routes: their bodies are JSON, of whatever content type.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Request

from berth_api.activity import expires_at
from berth_api.engine_settings import ContextSize
from berth_api.model_deployment import Device, ModelDeployment, Phase
from berth_formats.chat_template import chat_template
from berth_formats.errors import FormatError
from berth_router.lifecycle.deployments import Deployments
from berth_router.management.catalog import Catalog
from berth_router.management.inventory import READ_SECONDS
from berth_router.management.windows import stated_window, window_of
from berth_router.ollama.errors import model_not_found
from berth_router.ollama.inventory import VERSION, KnownModel, RunningModel, running, shown, tags
from berth_router.ollama.names import berth_name
from berth_router.ollama.requests import model_of
from berth_router.request.ask import RequestParser, json_object
from berth_router.request.model_names import model_path
from berth_router.store.descriptions import Described, Descriptions
from berth_router.store.model_store import ModelStore, StoredModel

_log = structlog.get_logger(__name__)

_LOADED = (Phase.READY, Phase.UNRESPONSIVE)


def ollama_inventory_routes(
    store: ModelStore,
    descriptions: Descriptions,
    deployments: Deployments,
    parser: RequestParser,
    catalog: Catalog,
    root: Path,
    context_size: ContextSize,
) -> APIRouter:
    """The routes that show models. `root`: where the store is. `context_size`: what llama.cpp has by default."""
    routes = APIRouter(include_in_schema=False)

    async def known_models() -> Mapping[str, Described]:
        """The models of the store, by path."""
        described = await descriptions.of(await store.models(), READ_SECONDS)
        return {each.model.path: each for each in described}

    @routes.get("/api/version")
    async def show_version() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return VERSION

    @routes.get("/api/tags")
    async def list_models() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        models = await known_models()
        names = [(entry.id, parser.parse_name(entry.id).model) for entry in await catalog.entries()]
        return tags(replace(_known(models[path]), path=name) for name, path in names if path in models)

    @routes.get("/api/ps")
    async def list_running() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        models = await known_models()
        loaded = [one for one in deployments.all() if one.status.phase in _LOADED and not one.deleting]
        return running(_running(one, models.get(one.spec.model)) for one in loaded)

    @routes.post("/api/show")
    async def show_model(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        name = model_of(json_object(await request.body()))
        models = await known_models()
        ask = parser.parse_name(berth_name(name))
        found = models.get(ask.model) or (models.get(ask.otherwise.model) if ask.otherwise else None)
        if found is None:
            raise model_not_found(name)
        template = await asyncio.to_thread(_template, root, found.model)
        is_gguf = found.description is not None and found.description.format == "gguf"
        return shown(_known(found, template), stated_window(context_size, found.description) if is_gguf else None)

    return routes


def path_of(name: str) -> str:
    """The path in the store of a model that a client of Ollama names. Raises OllamaError (404), InvalidRequestError."""
    return model_path(berth_name(name).partition("@")[0])


def _known(described: Described, template: str | None = None) -> KnownModel:
    model = described.model
    return KnownModel(model.path, model.modified, model.size, described.description, template)


def _running(deployment: ModelDeployment, described: Described | None) -> RunningModel:
    """A deployment as a model that is loaded. `described`: None where the store does not list the model."""
    spec, status = deployment.spec, deployment.status
    model = _known(described) if described else KnownModel(spec.model, int(deployment.created_at.timestamp()), 0)
    return RunningModel(
        model,
        expires_at(deployment),
        status.memory_bytes or 0,
        on_gpu=spec.device is Device.CUDA,
        context_size=window_of(spec, model.description, status),
    )


def _template(root: Path, model: StoredModel) -> str | None:
    """The model's chat template; None where it has none, or cannot be read."""
    is_file = len(model.files) == 1 and model.files[0].name == model.name
    place = root if is_file else root / model.name
    try:
        return chat_template(place, [(file.name, file.size) for file in model.files])
    except FormatError as error:
        _log.warning("chat_template_not_read", model=model.path, error=str(error))
        return None
