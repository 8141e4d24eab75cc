"""POST /forecast: what would happen to a model if it were asked for now. The routers ask; nothing changes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from berth_api.model_deployment import NAME_LENGTH, ModelDeploymentSpec
from berth_api.room.forecast import Forecast
from berth_process.settings_error import SettingsError

_LARGEST_BODY = 64 * 1024
_FORECAST = TypeAdapter(Forecast)


class _Question(BaseModel):
    """A deployment that might be made."""

    name: str = Field(max_length=NAME_LENGTH)
    spec: ModelDeploymentSpec


@asynccontextmanager
async def forecasts(
    forecast: Callable[[str, ModelDeploymentSpec], Awaitable[Forecast]], port: int
) -> AsyncGenerator[None]:
    """Answers while this is open. `port` 0: nobody. Raises SettingsError where the port is taken."""
    if not port:
        yield
        return

    async def answer(request: web.Request) -> web.Response:
        try:
            question = _Question.model_validate_json(await request.read())
        except ValidationError as error:
            return web.Response(status=422, text=str(error))
        found = await forecast(question.name, question.spec)
        return web.Response(body=_FORECAST.dump_json(found), content_type="application/json")

    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_post("/forecast", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, None, port).start()
        except OSError as error:
            raise SettingsError(f"forecastPort is {port}: it must be a port that is free ({error.strerror})") from error
        yield
    finally:
        await runner.cleanup()
