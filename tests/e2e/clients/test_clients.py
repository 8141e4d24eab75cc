"""Every client works untouched: each feature of each is a case, which fails with the client's own error."""

import sys

import pytest

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import AT_FURTHER_ENGINES, CLIENTS, ForeignClient
from tests.e2e.clients.conftest import Ask
from tests.e2e.clients.engines import ENGINES
from tests.e2e.clients.expectations import features_in_tests, is_as_expected, why_not

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock files are for Linux")

CASES = [
    pytest.param(engine, client, feature, id=f"{engine}-{client.name}-{feature}")
    for engine in ENGINES
    for client in CLIENTS
    if engine is Backend.LLAMACPP or client.name in AT_FURTHER_ENGINES
    for feature in features_in_tests(engine, client)
]


@pytest.mark.parametrize(("engine", "client", "feature"), CASES)
async def test_a_client_works(engine: Backend, client: ForeignClient, feature: str, ask: Ask) -> None:
    error = (await ask(engine, client))[feature]
    why = why_not(engine, client, feature) or client.faults.get(feature)
    works_by_now = f"this works by now: take it from what cannot be ({why})"
    assert is_as_expected(engine, client, feature, error), error or works_by_now
