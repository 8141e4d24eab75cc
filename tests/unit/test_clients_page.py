"""docs/clients.md has what came of the last run of each client of tests/e2e/clients, in its locked version."""

import pytest

from tests.e2e.clients.catalog import CLIENTS, ForeignClient
from tests.e2e.clients.page import PAGE, page, recorded

RUN_THEM = "uv run python -m tests.e2e.clients"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_feature_of_a_client_was_run(client: ForeignClient) -> None:
    assert client.file.is_file()
    assert list(recorded().get(client.name, {})) == list(client.features), f"run `{RUN_THEM} '{client.name}'`"


def test_the_page_has_the_clients_that_are_run_and_no_others() -> None:
    assert PAGE.read_text() == page(recorded()), f"`{RUN_THEM}` writes it"
