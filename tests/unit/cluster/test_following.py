"""How long a follower is blind after its watch has broken. Time is the test's own: nothing waits."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from berth_cluster.cluster import (
    MODEL_DEPLOYMENTS,
    Cluster,
    ClusterError,
    ExpiredError,
    Kind,
    ObjectList,
    UnavailableError,
    WatchEvent,
)
from berth_cluster.following import Snapshot, follow

HOUR = 3600.0
CUT = UnavailableError("cut")


@dataclass
class Watch:
    """One watch: how long it stands, and what ends it; None: the server closes it."""

    seconds: float
    end: ClusterError | None = CUT


class Scripted:
    """A cluster of which each list and each watch goes as is said, and a clock that only they and the waits move."""

    def __init__(self, watches: Sequence[Watch], lists: Sequence[ClusterError | None] = ()) -> None:
        self._watches = list(watches)
        self._lists = list(lists)
        self.now = 0.0
        self.waits: list[float] = []
        self.watched: list[str] = []

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        error = self._lists.pop(0) if self._lists else None
        if error:
            self.now += 15  # a call that is not answered takes so long
            raise error
        return ObjectList([], "listed")

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        self.watched.append(since)
        watch = self._watches.pop(0)
        self.now += watch.seconds
        yield WatchEvent("MODIFIED", {"metadata": {"name": "one", "resourceVersion": "told"}})
        if watch.end:
            raise watch.end

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


async def waits_of(cluster: Scripted) -> list[float]:
    """How long the follower waited each time, until the script was at its end."""
    following = follow(cast("Cluster", cluster), MODEL_DEPLOYMENTS, clock=lambda: cluster.now, sleep=cluster.sleep)
    with pytest.raises(IndexError):
        async for _ in following:
            pass
    return cluster.waits


@pytest.mark.parametrize("stands", [HOUR, 12.0, 1.5])
async def test_after_a_watch_that_stood_well_the_waits_begin_anew(stands: float) -> None:
    waits = await waits_of(Scripted([Watch(stands)] * 10))
    assert len(waits) == 10
    assert max(waits) <= 0.1


async def test_a_watch_that_fails_at_once_each_time_is_waited_for_longer_each_time() -> None:
    waits = await waits_of(Scripted([Watch(0.01)] * 10))
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert all(0.5 * most <= wait <= most for wait, most in zip(waits, longest, strict=True))


async def test_a_cluster_that_answers_no_list_is_asked_less_and_less() -> None:
    waits = await waits_of(Scripted([], lists=[CUT] * 8 + [None]))
    assert len(waits) == 8
    assert waits[-1] >= 5


async def test_after_an_outage_the_first_good_watch_ends_the_long_waits() -> None:
    waits = await waits_of(Scripted([Watch(HOUR), Watch(HOUR)], lists=[CUT] * 8 + [None, None]))
    assert waits[7] >= 5
    assert max(waits[8:]) <= 0.1


async def test_a_watch_that_the_server_closes_in_time_goes_on_without_a_wait_where_it_was() -> None:
    cluster = Scripted([Watch(240, end=None)] * 3)
    assert await waits_of(cluster) == []
    assert cluster.watched == ["listed", "told", "told", "told"]


@pytest.mark.parametrize("end", [None, ExpiredError("too old")])
async def test_a_watch_that_ends_at_once_again_and_again_is_no_endless_hurry(end: ClusterError | None) -> None:
    waits = await waits_of(Scripted([Watch(0.01, end)] * 8))
    assert sum(waits) > 5


async def test_those_who_were_cut_off_together_do_not_come_back_together() -> None:
    waits = {(await waits_of(Scripted([Watch(HOUR)])))[0] for _ in range(20)}
    assert len(waits) > 10


async def test_it_begins_with_what_there_is() -> None:
    following = follow(cast("Cluster", Scripted([])), MODEL_DEPLOYMENTS)
    assert await anext(following) == Snapshot([], "listed")
