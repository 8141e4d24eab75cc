"""POST /v1/models/plan: what would happen if a model were asked for now. Nothing is started, and nobody leaves."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from berth_api.inference import COMPLETIONS
from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec
from berth_api.room.forecast import Forecast, Outcome
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import is_ready
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.request.fields import refuse_other_fields

ForecastOf = Callable[[str, ModelDeploymentSpec], Awaitable[Forecast]]
"""Says what would happen to the deployment of this name and spec. Raises APIError."""


class PlannedModel(BaseModel):
    """What would happen."""

    model: str = Field(description="Path of the model in the store.")
    deployment: str = Field(description="The ModelDeployment that would answer.")
    outcome: Outcome = Field(
        description="runs, starts (it does already), fits, evicts, waits, never_fits, or cannot_start."
    )
    message: str = Field(description="Why, with figures.")
    node: str | None = Field(description="Where. null: the scheduler decides, or it is not known.")
    evicts: list[str] = Field(description="ModelDeployments that would leave: they are idle.")
    place: int | None = Field(description="Its place among the models that wait for room. null: it would not wait.")
    estimate_seconds: float | None = Field(description="Seconds until it had room. null: at once, or not known.")


def plan_routes(parser: RequestParser, creator: Creator, forecast: ForecastOf) -> APIRouter:
    """The route that tells."""
    routes = APIRouter(tags=["models"])

    @routes.post("/v1/models/plan", summary="What would happen if a model were asked for now")
    async def plan(  # pyright: ignore[reportUnusedFunction]
        request: Annotated[dict[str, Any], Body(description="As for POST /v1/models/load: `model`, and its settings.")],
    ) -> PlannedModel:
        """Whether the model runs, fits, would have others evicted, would wait, or can never have room; with figures.

        Nothing is started and nobody leaves. A moment later it may be otherwise.
        """
        refuse_other_fields(request)
        ask = await creator.known(replace(parser.parse_fields(request, INFERENCE_PATHS[COMPLETIONS]), path=None))
        found = await creator.find(ask)
        if isinstance(found, ModelDeployment):
            name, spec, told = found.name, found.spec, _of_live(found)
        else:
            name, spec, told = found.name, found.spec, None
        told = told or await forecast(name, spec)
        return PlannedModel(
            model=spec.model,
            deployment=name,
            outcome=told.outcome,
            message=told.message,
            node=told.node,
            evicts=list(told.evicts),
            place=told.place,
            estimate_seconds=told.estimate_seconds,
        )

    return routes


def _of_live(deployment: ModelDeployment) -> Forecast | None:
    """What is certain of a live deployment; None where it depends on room."""
    if is_ready(deployment):
        return Forecast(Outcome.RUNS, "its engine is ready")
    if deployment.status.pod_name and not deployment.status.queue:
        return Forecast(Outcome.STARTS, "its engine starts")
    return None
