"""docs/clients.md has each client of tests/e2e/clients, its version and its features, and nothing else."""

import pytest

from tests.e2e.clients.catalog import CLIENTS, LIBRARIES, ForeignClient
from tests.e2e.clients.page import PAGE, expected, page

ROWS = PAGE.read_text().splitlines()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_has_a_program_and_a_row_of_its_version(client: ForeignClient) -> None:
    assert client.file.is_file()
    begins = f"| {client.name} | {client.version} |"
    [row] = [row for row in ROWS if row.startswith(begins)]
    cells = row.removeprefix(begins).strip("| ").split(" | ")
    if client in LIBRARIES:
        assert [cell == "-" for cell in cells] == [feature == "-" for feature in _cells(client)]


def test_the_page_is_what_a_run_writes_in_which_all_works() -> None:
    assert PAGE.read_text() == page({client.name: expected(client) for client in CLIENTS})


def _cells(client: ForeignClient) -> list[str]:
    written = page({each.name: expected(each) for each in CLIENTS}).splitlines()
    [row] = [row for row in written if row.startswith(f"| {client.name} | ")]
    return row.strip("| ").split(" | ")[2:]
