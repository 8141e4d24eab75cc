"""One server for all clients of an engine, and each client's program run once: every feature of it is a case."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import ForeignClient
from tests.e2e.clients.engines import ENGINES, berth_with
from tests.e2e.clients.expectations import features_in_tests
from tests.e2e.clients.page import tables
from tests.e2e.clients.running import Outcomes, install, run

Ask = Callable[[ForeignClient], Awaitable[Outcomes]]

_SEEN = pytest.StashKey[dict[Backend, dict[str, Outcomes]]]()


@pytest.fixture(scope="session")
async def ask(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ask]:
    """What came of each feature of a client with an engine: its program runs at the first question.

    The parameter is the engine. Its server has the machine for itself: pytest puts the cases of an engine together.
    """
    engine: Backend = request.param
    install()
    seen = pytestconfig.stash.setdefault(_SEEN, {}).setdefault(engine, {})
    folder = tmp_path_factory.mktemp(f"clients-{engine}")
    async with berth_with(engine, folder) as berth:

        async def ask(client: ForeignClient) -> Outcomes:
            if client.name not in seen:
                features, home = features_in_tests(engine, client), folder / "client" / client.file.stem
                seen[client.name] = await run(client, engine, features, berth.url, home)
            return seen[client.name]

        yield ask


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables of what was run."""
    seen = config.stash.get(_SEEN, None)
    if seen:
        terminalreporter.section("clients")
        terminalreporter.write("\n".join(tables(engine, seen[engine]) for engine in ENGINES if engine in seen))
