"""POST /forecast: what would happen to a model if it were asked for now. The routers ask; nothing changes.

Routers ask any operator, and only the one that leads knows. So one that waits to lead passes the question on.
"""

from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from berth_api.model_deployment import NAME_LENGTH, ModelDeploymentSpec
from berth_api.room.forecast import Forecast

_LARGEST_BODY = 64 * 1024
_FORECAST = TypeAdapter(Forecast)
_TIMEOUT = aiohttp.ClientTimeout(total=5, connect=1)
_PASSED_ON = "x-berth-passed-on"
"""On a question that another operator has passed on: such a one goes no further."""

Forecaster = Callable[[str, ModelDeploymentSpec], Awaitable[Forecast]]


class _Question(BaseModel):
    """A deployment that might be made."""

    name: str = Field(max_length=NAME_LENGTH)
    spec: ModelDeploymentSpec


class Forecasts:
    """Answers questions while this operator leads, and passes them on otherwise."""

    def __init__(self, leader: Callable[[], str | None] = lambda: None) -> None:
        """`leader`: the base URL at which the operator that leads answers; None: nobody knows."""
        self._leader = leader
        self.forecaster: Forecaster | None = None
        """Who answers here. None: this operator does not lead."""

    def application(self) -> web.Application:
        """What is to listen."""
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_post("/forecast", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.forecaster is None:
            return await self._passed_on(body, again=_PASSED_ON in request.headers)
        try:
            question = _Question.model_validate_json(body)
        except ValidationError as error:
            return web.Response(status=422, text=str(error))
        found = await self.forecaster(question.name, question.spec)
        return web.Response(body=_FORECAST.dump_json(found), content_type="application/json")

    async def _passed_on(self, body: bytes, *, again: bool) -> web.Response:
        leader = self._leader()
        if leader is None or again:
            return web.Response(status=503, text="no operator leads at the moment")
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(f"{leader}/forecast", data=body, headers={_PASSED_ON: "1"}) as answer,
            ):
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=503, text=f"the operator that leads does not answer: {type(error).__name__}")
