"""GET /v1/models/loaded/{deployment}/logs: the output of a deployment's engine, also of one that has gone.

In a cluster this route is missing: Kubernetes keeps the logs of its pods itself.
"""

from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from berth_local.node.output import OutputBuffer
from berth_router.errors import UnknownModelError

MOST_LINES = 100_000


def logs_routes(output_of: Callable[[str], OutputBuffer | None]) -> APIRouter:
    """The route. `output_of` finds the output by a deployment's name or a model's path; None: no engine has run."""
    routes = APIRouter(tags=["models"])

    @routes.get(
        "/v1/models/loaded/{deployment:path}/logs", summary="What an engine printed", response_class=StreamingResponse
    )
    async def show_logs(  # pyright: ignore[reportUnusedFunction]
        deployment: str,
        follow: bool = Query(default=False, description="Go on as more comes."),
        tail: int = Query(default=200, ge=0, le=MOST_LINES, description="How many of the last lines to begin with."),
    ) -> StreamingResponse:
        """The last lines of the deployment's engines, of the current one and earlier ones, as plain text.

        In place of a deployment, the path of a model stands for the one that was started last, failed or gone as it
        may be.
        """
        output = output_of(deployment)
        if output is None:
            raise UnknownModelError(
                f"No engine of {deployment} has run since this server started.", code="model_not_loaded"
            )
        return StreamingResponse(_text(output, tail, follow=follow), media_type="text/plain; charset=utf-8")

    return routes


async def _text(output: OutputBuffer, tail: int, *, follow: bool) -> AsyncIterator[str]:
    since = max(0, output.end - tail)
    if not follow:
        yield _joined(output.lines(since))
        return
    async for lines in output.follow(since):
        yield _joined(lines)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
