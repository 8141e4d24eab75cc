"""Waits that end at a moment on the monotonic clock."""

import asyncio
import time


async def set_by(event: asyncio.Event, deadline: float) -> bool:
    """Whether the event was set by `deadline`, in seconds of `time.monotonic`."""
    try:
        # Not wait_for: until Python 3.12 that forgets to be cancelled where the event is set in the same moment.
        async with asyncio.timeout(deadline - time.monotonic()):
            await event.wait()
    except TimeoutError:
        return False
    return True
