"""Runs the clients and writes docs/clients.md: python -m tests.e2e.clients [--engine ENGINE] [NAME...]

With names, such as "llm" or "openai (Node)", only these are run, and the others stay as they were. Likewise with an
engine: llamacpp, vllm or transformers.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import CLIENTS
from tests.e2e.clients.engines import ENGINES, berth_with
from tests.e2e.clients.expectations import features_with, is_as_expected
from tests.e2e.clients.page import record
from tests.e2e.clients.running import Outcomes, install, run


async def run_all(engine: Backend, names: Collection[str]) -> bool:
    """Runs the clients of these names with an engine. Returns whether all is as expected."""
    outcomes: dict[str, Outcomes] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with berth_with(engine, Path(folder)) as berth:
            for client in CLIENTS:
                if client.name in names:
                    features = features_with(engine, client)
                    outcomes[client.name] = await run(client, engine, features, berth.url, Path(folder) / "client")
                    record(engine, outcomes)
                    print(engine, client.name, dict(outcomes[client.name]), flush=True)
    return all(
        is_as_expected(engine, client, feature, outcomes[client.name][feature])
        for client in CLIENTS
        if client.name in outcomes
        for feature in outcomes[client.name]
    )


async def main() -> int:
    """Returns the exit code: 1 where something fails that should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=[engine.value for engine in ENGINES], help="the one engine (all)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a client (all)")
    options = parser.parse_args()
    known = [client.name for client in CLIENTS]
    if unknown := set(options.names) - set(known):
        parser.error(f"no such client: {', '.join(unknown)}; there are {', '.join(known)}")
    install()
    engines = [Backend(options.engine)] if options.engine else ENGINES
    expected = [await run_all(engine, options.names or known) for engine in engines]
    return int(not all(expected))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
