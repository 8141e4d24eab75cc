"""A look that is shared: it always began after the asking."""

import asyncio

import pytest

from berth_router.store.shared_call import SharedCall


class Looks:
    """A slow call: it reads the value at once, and returns it when the test allows."""

    def __init__(self) -> None:
        self.value = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Semaphore(0)
        self.count = 0
        self.at_once = 0

    async def has_begun(self) -> None:
        """Returns once a look is under way."""
        async with asyncio.timeout(10):
            await self.begun.wait()

    async def look(self) -> int:
        self.count += 1
        self.at_once += 1
        assert self.at_once == 1
        seen = self.value
        self.begun.set()
        await self.may_end.acquire()
        self.at_once -= 1
        self.begun.clear()
        if seen < 0:
            raise OSError("broken")
        return seen


async def test_who_asks_while_a_look_is_under_way_gets_a_later_one() -> None:
    looks = Looks()
    shared = SharedCall(looks.look)
    first = asyncio.create_task(shared())
    await looks.has_begun()
    looks.value = 1
    others = [asyncio.create_task(shared()) for _ in range(5)]
    await asyncio.sleep(0)
    looks.may_end.release()
    assert await first == 0
    await looks.has_begun()
    looks.may_end.release()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*others) == [1] * 5
    assert looks.count == 2


async def test_those_who_ask_at_the_same_time_share_one_look() -> None:
    looks = Looks()
    shared = SharedCall(looks.look)
    looks.may_end.release()
    assert await asyncio.gather(shared(), shared(), shared()) == [0, 0, 0]
    assert looks.count == 1


async def test_a_look_that_fails_is_the_failure_of_those_who_asked_for_it_alone() -> None:
    looks = Looks()
    shared = SharedCall(looks.look)
    looks.value = -1
    failing = asyncio.create_task(shared())
    await looks.has_begun()
    looks.value = 2
    later = asyncio.create_task(shared())
    looks.may_end.release()
    with pytest.raises(OSError, match="broken"):
        await failing
    looks.may_end.release()
    assert await later == 2


async def test_who_leaves_takes_the_look_from_nobody() -> None:
    looks = Looks()
    shared = SharedCall(looks.look)
    leaving, staying = asyncio.create_task(shared()), asyncio.create_task(shared())
    await looks.has_begun()
    leaving.cancel()
    looks.may_end.release()
    assert await staying == 0
    assert looks.count == 1
    later = asyncio.create_task(shared())
    await looks.has_begun()
    later.cancel()
    looks.value = -1  # nobody hears of what fails now
    looks.may_end.release()
    last = asyncio.create_task(shared())
    looks.may_end.release()
    with pytest.raises(OSError, match="broken"):
        await last
