"""POST /v1/models/unload and /v1/models/unload-all: end models now."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_api.model_deployment import Backend, Device, ModelDeployment, Phase
from berth_router.errors import UnknownModelError
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import matches
from berth_router.lifecycle.unloader import Unloader
from berth_router.request.ask import Ask, RequestParser


class UnloadRequest(BaseModel):
    """What to unload."""

    model: str = Field(
        max_length=512,
        description="The model, as in a request: its path in the store, its name, or `name@profile`;"
        " or a ModelDeployment's name.",
    )
    backend: Backend | None = Field(default=None, description="Only deployments of this backend. Unset: of any.")
    device: Device | None = Field(default=None, description="Only deployments on this device. Unset: on any.")


class Unloaded(BaseModel):
    """What was unloaded."""

    unloaded: list[str] = Field(
        description="Names of the ModelDeployments that were deleted or, where a person declared them, are asleep."
    )
    message: str


def deployments_to_unload(ask: Ask, deployments: Deployments) -> Sequence[ModelDeployment]:
    """The live deployments that meet what is asked. Raises UnknownModelError where there are none."""
    found = matches(ask, deployments.of_model(ask.model))
    if not found:
        raise UnknownModelError(
            f"No deployment of {ask.model} is live with that backend, device and profile."
            " GET /v1/models/loaded lists those that are.",
            param="model",
            code="model_not_loaded",
        )
    return found


def _named(name: str, deployments: Deployments) -> ModelDeployment | None:
    """The deployment of this name, unless it has no engine and will have none: one that has failed counts."""
    one = deployments.get(name)
    return one if one and one.status.phase is not Phase.SLEEPING and not one.deleting else None


def unload_routes(deployments: Deployments, unloader: Unloader, parser: RequestParser) -> APIRouter:
    """The routes that unload."""
    routes = APIRouter(tags=["models"])

    @routes.post("/v1/models/unload", summary="Unload a model")
    async def unload(request: UnloadRequest) -> Unloaded:  # pyright: ignore[reportUnusedFunction]
        """Unloads every deployment of the model, after the answers under way in all routers have ended (30 s at most).

        With `name@profile`, only the deployments that are as the profile states. Meanwhile new requests for the model
        get a 503 that says when to try again; after that, a request starts the model anew. A deployment that a person
        declared falls asleep instead of being deleted. The files stay in the store.
        """
        if one := _named(request.model, deployments):
            await unloader.unload([one])
            return Unloaded(unloaded=[one.name], message=f"{one.name} is unloaded.")
        ask = parser.parse_name(request.model, request.backend, request.device)
        found = deployments_to_unload(ask, deployments)
        await unloader.unload(found)
        names = [deployment.name for deployment in found]
        return Unloaded(unloaded=names, message=f"{ask.model} is unloaded.")

    @routes.post("/v1/models/unload-all", summary="Unload every model")
    async def unload_all() -> Unloaded:  # pyright: ignore[reportUnusedFunction]
        """Unloads every deployment, all at once, as /v1/models/unload does. No deployment at all is no error."""
        found = [one for one in deployments.all() if one.status.phase is not Phase.SLEEPING and not one.deleting]
        await unloader.unload(found)
        return Unloaded(unloaded=[deployment.name for deployment in found], message=f"{len(found)} unloaded.")

    return routes
