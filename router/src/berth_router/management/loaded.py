"""GET /v1/models/loaded: the models that run now, and until when."""

from datetime import datetime

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from berth_api.activity import expires_at
from berth_api.conditions import Condition, ConditionType, condition_of
from berth_api.identity import deployment_name
from berth_api.model_deployment import Backend, Device, ModelDeployment, Phase
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import Leases

_LOADED = (Phase.READY, Phase.UNRESPONSIVE, Phase.STARTING, Phase.PENDING, None)
"""The phases of a deployment that has an engine, or will have one soon. One that is asleep or stalled has none."""


_HAS_STARTED = (Phase.READY, Phase.UNRESPONSIVE)


class LoadedStep(BaseModel):
    """A step of a start that is done."""

    name: str = Field(description="PodCreated, PodScheduled, EngineStarted or EngineReady.")
    seconds: float = Field(description="Seconds since the start was asked for.")


class LoadedModel(BaseModel):
    """A model that runs or starts."""

    cache_key: str = Field(description="Model, backend and device in one word: <slug>_<backend>_<device>.")
    model_path: str
    backend: Backend
    device: Device
    deployment: str = Field(description="Name of the ModelDeployment.")
    phase: Phase = Field(
        description="Pending, Starting, Ready, Stalled: no node has room, or Unresponsive: it does not answer now."
    )
    loaded_at: datetime | None = Field(description="When it last became ready. null: not yet.")
    ttl: int = Field(description="Seconds without a request after which it is removed; 0 is never.")
    expires_at: datetime | None = Field(
        description="When it is removed if no further request comes. null: never, or not ready yet."
    )
    start_steps: list[LoadedStep] = Field(description="The steps of its last start that are done.")
    memory_bytes: int | None = Field(
        description="What the engine is estimated to take. null: not known, or left to the cluster's scheduler."
    )
    context_size: int | None = Field(
        description="Tokens of context that a request has, prompt and answer together. null: not known yet, or the"
        " engine does not tell."
    )
    queue_place: int | None = Field(
        description="Its place among the models that wait for room, 1 for the first. null: it does not wait for room."
    )
    room_expected_at: datetime | None = Field(description="When there will be room for it. null: not known.")
    message: str | None = Field(description="Why it cannot start, or waits. null: nothing is in its way.")
    in_flight: int = Field(
        description="Requests queued or being answered, of all routers, as far as they have reported them."
    )


class LoadedModels(BaseModel):
    """All models that run or start."""

    loaded_models: list[LoadedModel]
    total_count: int


def loaded_routes(deployments: Deployments, leases: Leases) -> APIRouter:
    """The routes about what runs."""
    routes = APIRouter(tags=["models"])

    def describe(deployment: ModelDeployment) -> LoadedModel:
        spec, status = deployment.spec, deployment.status
        return LoadedModel(
            cache_key=f"{deployment_name(spec).rpartition('-')[0]}_{spec.backend}_{spec.device}",
            model_path=spec.model,
            backend=spec.backend,
            device=spec.device,
            deployment=deployment.name,
            phase=status.phase or Phase.PENDING,
            loaded_at=status.loaded_at if status.phase in _HAS_STARTED else None,
            ttl=spec.idle.ttl_seconds,
            expires_at=expires_at(deployment) if status.phase in _HAS_STARTED else None,
            start_steps=[LoadedStep(name=step.name, seconds=step.seconds) for step in status.start_steps],
            memory_bytes=status.memory_bytes,
            context_size=status.context_size,
            queue_place=status.queue.place if status.queue else None,
            room_expected_at=status.queue.expected_at if status.queue else None,
            message=stalled.message if (stalled := _stalled(deployment)) else None,
            in_flight=leases.in_flight(deployment.uid) + leases.in_flight_elsewhere(deployment),
        )

    @routes.get("/v1/models/loaded", summary="Models that run now")
    async def list_loaded(  # pyright: ignore[reportUnusedFunction]
        failed: bool = Query(default=False, description="Also those that could not start."),
    ) -> LoadedModels:
        """Every deployment that has an engine or will have one soon, or waits for room. None that is asleep."""
        models = [describe(one) for one in deployments.all() if _is_listed(one, failed=failed)]
        return LoadedModels(loaded_models=models, total_count=len(models))

    return routes


def _is_listed(deployment: ModelDeployment, *, failed: bool) -> bool:
    """A pod that waits for room is stalled, as long as no node has any."""
    status = deployment.status
    listed = status.phase in _LOADED or status.queue is not None or (failed and status.phase is Phase.STALLED)
    return listed and not deployment.deleting


def _stalled(deployment: ModelDeployment) -> Condition | None:
    condition = condition_of(deployment.status.conditions, ConditionType.STALLED)
    return condition if condition and condition.status == "True" else None
