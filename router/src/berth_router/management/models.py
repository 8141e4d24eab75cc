"""GET /v1/models: the models that a request can name."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_router.lifecycle.deployments import Deployments
from berth_router.store.model_store import ModelStore


class Model(BaseModel):
    """One model, as OpenAI describes it."""

    id: str = Field(description="What to send as `model`: the model's path in the store.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the model was last changed in the store, in seconds since 1970.")
    owned_by: str = "berth"


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


def models_routes(store: ModelStore, deployments: Deployments) -> APIRouter:
    """The routes about the models there are."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", summary="Models that can be asked for")
    async def list_models() -> ModelList:  # pyright: ignore[reportUnusedFunction]
        """The models of the store, whether they run or not, and those of deployments with another path in it."""
        models = {stored.path: Model(id=stored.path, created=stored.modified) for stored in await store.models()}
        for deployment in deployments.all():
            path = deployment.spec.model
            if path not in models and not deployment.deleting:
                models[path] = Model(id=path, created=int(deployment.created_at.timestamp()))
        return ModelList(data=[models[path] for path in sorted(models)])

    return routes
