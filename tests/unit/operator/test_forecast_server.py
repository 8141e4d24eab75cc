"""A question about a model, asked of an operator that does not lead."""

from contextlib import AbstractAsyncContextManager

import aiohttp

from berth_api.model_deployment import ModelDeploymentSpec
from berth_api.room.forecast import Forecast, Outcome
from berth_operator.forecast_server import Forecasts
from berth_operator.listening import listening
from tests.unit.addresses import free_port

QUESTION = {"name": "smol", "spec": {"model": "/models/smol", "backend": "llamacpp", "device": "cpu"}}


async def fits(name: str, spec: ModelDeploymentSpec) -> Forecast:
    return Forecast(Outcome.FITS, f"{name} fits")


def serving(forecasts: Forecasts, port: int) -> AbstractAsyncContextManager[None]:
    return listening(forecasts.application(), port, "forecastPort")


async def ask(port: int) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/forecast", json=QUESTION) as answer,
    ):
        return answer.status, await answer.text()


async def test_one_that_waits_passes_the_question_on_to_the_one_that_leads() -> None:
    waits_at, leads_at = free_port(), free_port()
    leads = Forecasts()
    leads.forecaster = fits
    waits = Forecasts(lambda: f"http://127.0.0.1:{leads_at}")
    async with serving(waits, waits_at):
        assert (await ask(waits_at))[0] == 503, "the leader does not answer"
        async with serving(leads, leads_at):
            status, text = await ask(waits_at)
            assert status == 200
            assert "smol fits" in text
            leads.forecaster = None
            assert (await ask(waits_at))[0] == 503, "nobody leads: the question is not passed around"
