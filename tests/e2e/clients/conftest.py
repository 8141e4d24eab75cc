"""One server for all clients, and each client's program run once: every feature of it is a case."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.e2e.clients.catalog import LIBRARIES, PROGRAMS, ForeignClient
from tests.e2e.clients.page import page
from tests.e2e.clients.running import OPTIONS, Outcomes, install, make_models, run
from tests.integration.local.running import Berth

Ask = Callable[[ForeignClient], Awaitable[Outcomes]]

_SEEN = pytest.StashKey[dict[str, Outcomes]]()


@pytest.fixture(scope="session")
async def clients_berth(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Berth]:
    """The server that all clients ask."""
    install()
    folder = tmp_path_factory.mktemp("clients")
    make_models(folder / "models")
    async with Berth(folder, real_engine=True, options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="session")
def ask(pytestconfig: pytest.Config, clients_berth: Berth, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """What came of each feature of a client: its program runs at the first question."""
    seen = pytestconfig.stash.setdefault(_SEEN, {})
    home = tmp_path_factory.mktemp("client")

    async def ask(client: ForeignClient) -> Outcomes:
        if client.name not in seen:
            seen[client.name] = await run(client, clients_berth.url, home / client.file.stem)
        return seen[client.name]

    return ask


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the table of what was run."""
    seen = config.stash.get(_SEEN, None)
    if seen:
        nothing: dict[str, Outcomes] = {client.name: {} for client in (*LIBRARIES, *PROGRAMS)}
        terminalreporter.section("clients")
        terminalreporter.write(page(nothing | seen).partition("## Libraries\n")[2])
