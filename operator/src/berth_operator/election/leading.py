"""Work that is done by the one operator that leads."""

import asyncio
from collections.abc import Awaitable, Callable

from berth_operator.election.elector import Elector


async def campaign_unless(stop: asyncio.Event, elector: Elector) -> bool:
    """Whether this operator leads; False where `stop` was set before."""
    campaigning = asyncio.create_task(elector.campaign(), name="campaign")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({campaigning, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if campaigning.done():
            campaigning.result()
    finally:
        campaigning.cancel()
        stopping.cancel()
        await asyncio.gather(campaigning, stopping, return_exceptions=True)
        if stop.is_set():
            await elector.release()
    return not stop.is_set()


async def lead(elector: Elector, work: Callable[[], Awaitable[None]]) -> bool:
    """Whether the work has come to its own end. False: another operator may lead by now, and the work was cancelled.

    Raises what the work raises. When this returns, nothing of the work is left, and the Lease is free.
    """
    working = asyncio.ensure_future(work())
    keeping = asyncio.create_task(elector.keep(), name="keep the lead")
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        keeping.result()
        return False
    finally:
        working.cancel()
        keeping.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)
        await elector.release()
