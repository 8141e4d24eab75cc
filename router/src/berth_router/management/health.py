"""/healthz, /readyz and /metrics: for probes and monitoring."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from berth_router.metrics import CONTENT_TYPE, Metrics

_STATE = {"type": "object", "properties": {"status": {"type": "string"}, "reason": {"type": "string"}}}
_NOT_WELL: dict[int | str, dict[str, Any]] = {
    503: {"description": "It does not: `reason` says why.", "content": {"application/json": {"schema": _STATE}}}
}


def health_routes(
    fault: Callable[[], str | None], unready_reason: Callable[[], str | None], metrics: Metrics
) -> APIRouter:
    """The routes for probes and monitoring.

    `fault`: why the router must be restarted, or None. `unready_reason`: why it should get no traffic, or None.
    """
    routes = APIRouter(tags=["operations"])

    @routes.get(
        "/health", summary="Whether the router lives, by the name that other servers have for it", responses=_NOT_WELL
    )
    @routes.get("/healthz", summary="Whether the router lives", responses=_NOT_WELL)
    async def healthz(response: Response) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """503: only a restart helps. A router that cannot reach the cluster still serves the models that run."""
        reason = fault()
        if reason is None:
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "failed", "reason": reason}

    @routes.get("/readyz", summary="Whether the router should get traffic", responses=_NOT_WELL)
    async def readyz(response: Response) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """503 until the router knows the cluster's deployments, and again when it shuts down."""
        reason = unready_reason()
        if reason is None:
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "unready", "reason": reason}

    @routes.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"description": "The metrics.", "content": {"text/plain": {}}}},
    )
    async def show_metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return routes
