"""Asks the operator, where it is another process, what would happen if a model were asked for now."""

import aiohttp
from pydantic import TypeAdapter, ValidationError

from berth_api.model_deployment import ModelDeploymentSpec
from berth_api.room.forecast import Forecast
from berth_router.errors import ServiceUnavailableError
from berth_router.management.plan import ForecastOf

_FORECAST = TypeAdapter(Forecast)
_TIMEOUT = aiohttp.ClientTimeout(total=10)


def forecast_at(url: str | None) -> ForecastOf:
    """Asks the operator at this base URL."""

    async def ask(name: str, spec: ModelDeploymentSpec) -> Forecast:
        if url is None:
            raise _not_known("this router does not know where the operator is: set BERTH_OPERATOR_URL")
        question = {"name": name, "spec": spec.manifest()}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(f"{url.rstrip('/')}/forecast", json=question) as response,
            ):
                content = await response.read()
                if response.status != 200:
                    raise _not_known(f"the operator answered {response.status}")
                return _FORECAST.validate_json(content)
        except (aiohttp.ClientError, TimeoutError, ValidationError) as error:
            raise _not_known(f"the operator does not answer: {type(error).__name__}") from error

    return ask


def _not_known(why: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"What would happen cannot be told now: {why}.", code="forecast_unavailable")
