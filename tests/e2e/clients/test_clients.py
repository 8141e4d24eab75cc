"""Every client works untouched: each feature of each is a case, which fails with the client's own error."""

import sys

import pytest

from tests.e2e.clients.catalog import CLIENTS, ForeignClient
from tests.e2e.clients.conftest import Ask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock files are for Linux")

CASES = [
    pytest.param(client, feature, id=f"{client.name}-{feature}") for client in CLIENTS for feature in client.features
]


@pytest.mark.parametrize(("client", "feature"), CASES)
async def test_a_client_works(client: ForeignClient, feature: str, ask: Ask) -> None:
    error = (await ask(client))[feature]
    if feature in client.faults:
        assert error, f"this works by now: take it from the faults ({client.faults[feature]})"
    else:
        assert error is None, error
