"""The operator's HTTP ports: /healthz for the kubelet, and /forecast for routers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from berth_process.settings_error import SettingsError


@asynccontextmanager
async def listening(application: web.Application, port: int, setting: str) -> AsyncGenerator[None]:
    """Answers while this is open. `port` 0: nobody. Raises SettingsError, naming the setting, where it is taken."""
    if not port:
        yield
        return
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, None, port).start()
        except OSError as error:
            raise SettingsError(f"{setting} is {port}: it must be a port that is free ({error.strerror})") from error
        yield
    finally:
        await runner.cleanup()


def health() -> web.Application:
    """GET /healthz: 200 as long as the process answers at all, whether or not it leads."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    application = web.Application()
    application.router.add_get("/healthz", answer)
    return application
