"""To wait for what other processes do."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 30
"""After which a test gives up. Nothing waits for so long that goes well."""


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 (other processes: nothing here could set an event)
            await asyncio.sleep(0.02)
