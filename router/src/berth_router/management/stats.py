"""GET /v1/models/stats: how often a request finds its model ready."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from berth_api.model_deployment import Phase
from berth_router.lifecycle.deployments import Deployments
from berth_router.stats import Stats


class ModelStats(BaseModel):
    """Counts over all routers, since the installation."""

    total_models: int = Field(description="ModelDeployments that exist, in any phase.")
    active_models: int = Field(description="Those that are ready to answer now.")
    total_requests: int = Field(description="Requests for a model that the API took: hits and misses together.")
    cache_hits: int = Field(description="Requests that found their model ready.")
    cache_misses: int = Field(description="Requests that did not: their model was started, waited for or refused.")
    hit_rate: float = Field(
        description="cache_hits as a share of total_requests, from 0 to 1; 0 before the first request."
    )


def stats_routes(deployments: Deployments, stats: Stats) -> APIRouter:
    """The routes about counts."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models/stats", summary="Models and requests, counted")
    async def show_stats() -> ModelStats:  # pyright: ignore[reportUnusedFunction]
        """Over all routers and their restarts. What another router counted in the last ten seconds may be missing."""
        counts = await stats.total()
        live = [one for one in deployments.all() if not one.deleting]
        total = counts.hits + counts.misses
        return ModelStats(
            total_models=len(live),
            active_models=sum(1 for one in live if one.status.phase is Phase.READY),
            total_requests=total,
            cache_hits=counts.hits,
            cache_misses=counts.misses,
            hit_rate=round(counts.hits / total, 4) if total else 0.0,
        )

    return routes
