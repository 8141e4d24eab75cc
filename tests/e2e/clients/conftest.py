"""One server for all clients of an engine, and each client's program run once: every feature of it is a case."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import ForeignClient
from tests.e2e.clients.engines import ENGINES, berth_with
from tests.e2e.clients.expectations import features_in_tests
from tests.e2e.clients.page import tables
from tests.e2e.clients.running import Outcomes, install, run

Ask = Callable[[Backend, ForeignClient], Awaitable[Outcomes]]

_SEEN = pytest.StashKey[dict[Backend, dict[str, Outcomes]]]()


@pytest.fixture(scope="session")
async def ask(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ask]:
    """What came of each feature of a client with an engine: its program runs at the first question.

    The cases of an engine come one after the other, and its server has the machine for itself. It is no parameter of
    this fixture: pytest would start another one for each case.
    """
    install()
    seen = pytestconfig.stash.setdefault(_SEEN, {})
    now: Backend | None = None
    url = ""
    folder = tmp_path_factory.mktemp("clients")
    async with AsyncExitStack() as stack:

        async def ask(engine: Backend, client: ForeignClient) -> Outcomes:
            nonlocal now, url, folder
            outcomes = seen.setdefault(engine, {})
            if client.name in outcomes:
                return outcomes[client.name]
            if now is not engine:
                await stack.aclose()
                folder = tmp_path_factory.mktemp(f"clients-{engine}")
                now, url = engine, (await stack.enter_async_context(berth_with(engine, folder))).url
            features, home = features_in_tests(engine, client), folder / "client" / client.file.stem
            outcomes[client.name] = await run(client, engine, features, url, home)
            return outcomes[client.name]

        yield ask


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the tables of what was run."""
    seen = config.stash.get(_SEEN, None)
    if seen:
        terminalreporter.section("clients")
        terminalreporter.write("\n".join(tables(engine, seen[engine]) for engine in ENGINES if engine in seen))
