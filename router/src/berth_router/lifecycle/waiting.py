"""Waits that end at a moment on the monotonic clock."""

import asyncio
import time


async def set_by(event: asyncio.Event, deadline: float) -> bool:
    """Whether the event was set by `deadline`, in seconds of `time.monotonic`."""
    try:
        await asyncio.wait_for(event.wait(), deadline - time.monotonic())
    except TimeoutError:
        return False
    return True
