"""docs/clients.md has what came of the last run of each client of tests/e2e/clients, in its locked version."""

import pytest

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import CLIENTS, ForeignClient
from tests.e2e.clients.engines import ENGINES
from tests.e2e.clients.expectations import features_with, is_as_expected
from tests.e2e.clients.page import PAGE, page, recorded

RUN_THEM = "uv run python -m tests.e2e.clients"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_feature_of_a_client_was_run(client: ForeignClient, engine: Backend) -> None:
    assert client.file.is_file()
    outcomes = recorded()[engine].get(client.name, {})
    assert list(outcomes) == features_with(engine, client), f"run `{RUN_THEM} --engine {engine} '{client.name}'`"
    surprises = [feature for feature, error in outcomes.items() if not is_as_expected(engine, client, feature, error)]
    assert not surprises


def test_the_page_has_the_clients_that_are_run_and_no_others() -> None:
    assert PAGE.read_text() == page(recorded()), f"`{RUN_THEM}` writes it"
