"""What would happen to a model: the operator is asked over HTTP, and nothing is started."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth_api.model_deployment import ModelDeploymentSpec
from berth_api.room.forecast import Forecast, Outcome
from berth_operator.forecast_server import Forecasts
from berth_operator.listening import listening
from berth_router.management.forecast import forecast_at
from berth_router.settings import RouterSettings
from tests.unit.addresses import free_port
from tests.unit.router.conftest import MODEL, Engine, InstrumentedCluster, Serving, served
from tests.unit.router.management import call

EVICTS = Forecast(Outcome.EVICTS, "it needs 1 GPU; other has it", "node-1", ("other",), 1, 2.0)


class Operator:
    """Answers as the operator does, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ModelDeploymentSpec]] = []

    async def forecast(self, name: str, spec: ModelDeploymentSpec) -> Forecast:
        self.asked.append((name, spec))
        return EVICTS


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
async def planning(
    operator: Operator, cluster: InstrumentedCluster, engine: Engine, settings: RouterSettings
) -> AsyncIterator[Serving]:
    """A router that asks an operator."""
    port = free_port()
    with_operator = settings.model_copy(update={"operator_url": f"http://127.0.0.1:{port}"})
    forecasts = Forecasts()
    forecasts.forecaster = operator.forecast
    answering = listening(forecasts.application(), port, "forecastPort")
    async with answering, served(cluster, engine, with_operator) as running:
        await running.until_ready()
        yield running


async def plan(serving: Serving, **fields: Any) -> tuple[int, Any]:
    return await call(serving, "POST", "/v1/models/plan", **fields)


@pytest.mark.covers(
    "POST /v1/models/plan: model",
    "deployment",
    "outcome",
    "POST /v1/models/plan: message",
    "node",
    "evicts",
    "place",
    "estimate_seconds",
)
async def test_it_says_who_would_leave_and_starts_nothing(planning: Serving, operator: Operator) -> None:
    status, told = await plan(planning, model="tiny", n_ctx=1024)
    assert status == 200, told
    assert told == {
        "model": MODEL,
        "deployment": operator.asked[0][0],
        "outcome": "evicts",
        "message": EVICTS.message,
        "node": "node-1",
        "evicts": ["other"],
        "place": 1,
        "estimate_seconds": 2.0,
    }
    [(_, spec)] = operator.asked
    assert spec.llamacpp
    assert spec.llamacpp.context_size == 1024
    assert await planning.deployments() == []


async def test_a_model_that_runs_needs_no_operator(ready: Serving) -> None:
    status, told = await plan(ready, model="tiny")
    assert (status, told["outcome"]) == (200, "runs")


@pytest.mark.covers("503 forecast_unavailable")
async def test_without_an_operator_it_is_not_known(serving: Serving) -> None:
    status, told = await plan(serving, model="tiny")
    assert (status, told["error"]["code"]) == (503, "forecast_unavailable")


async def test_an_operator_that_does_not_answer_is_said(serving: Serving) -> None:
    ask = forecast_at(f"http://127.0.0.1:{free_port()}")
    [created] = [ModelDeploymentSpec(model=MODEL, backend="llamacpp", device="cpu")]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Exception, match="does not answer"):
        await ask("tiny", created)


async def test_what_cannot_be_asked_is_refused_as_in_a_request(planning: Serving) -> None:
    assert (await plan(planning, model="absent"))[0] == 404
    assert (await plan(planning, model="tiny", n_ctxx=5))[1]["error"]["param"] == "n_ctxx"
    assert (await plan(planning, device="cpu"))[1]["error"]["param"] == "model"
    assert (await call(planning, "GET", "/v1/models/plan"))[0] == 405
