"""Runs the clients and writes docs/clients.md: python -m tests.e2e.clients [NAME...]

With names, such as "llm" or "openai (Node)", only these are run, and the others stay as they were.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.e2e.clients.catalog import CLIENTS
from tests.e2e.clients.page import record
from tests.e2e.clients.running import OPTIONS, Outcomes, install, make_models, run
from tests.integration.local.running import Berth


async def main(names: list[str]) -> int:
    """Returns the exit code: 1 where something fails that should not."""
    if unknown := set(names) - {client.name for client in CLIENTS}:
        print(f"no such client: {', '.join(unknown)}; there are {', '.join(each.name for each in CLIENTS)}")
        return 2
    install()
    outcomes: dict[str, Outcomes] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder) / "models")
        async with Berth(Path(folder), real_engine=True, options=OPTIONS) as berth:
            for client in CLIENTS:
                if not names or client.name in names:
                    outcomes[client.name] = await run(client, berth.url, Path(folder) / "client")
                    record(outcomes)
                    print(client.name, dict(outcomes[client.name]), flush=True)
    return int(
        any(
            outcomes[each.name][name]
            for each in CLIENTS
            if each.name in outcomes
            for name in each.features
            if name not in each.faults
        )
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
