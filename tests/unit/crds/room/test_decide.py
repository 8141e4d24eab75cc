"""Who gets room, who has to go, and who waits: the cases that people ask about."""

import pytest

from berth_api.room.actions import CloseModels, KeepWaiting, RefuseModel
from berth_api.room.snapshot import Resident, RoomNode, RoomSettings
from tests.unit.crds.room.worlds import (
    BUSY,
    GPU,
    LEAVING,
    STARTING,
    brief,
    decided,
    demand,
    gpus,
    memory,
    resident,
)

NO_PATIENCE = RoomSettings(max_residency=RoomSettings().min_residency)
"""As on one machine: a busy model is closed as soon as another has waited for the patience."""


def on_one_machine(residents: list[Resident], gigabytes: float, *, budget: float = 8, waits: float = 0) -> list[str]:
    machine = RoomNode("one", memory(budget))
    return brief(decided([machine], residents, [demand("new", memory(gigabytes), waits=waits)], NO_PATIENCE))


@pytest.mark.parametrize(
    ("residents", "gigabytes", "expected"),
    [
        pytest.param([], 8, "start new on one", id="exactly the budget"),
        pytest.param([resident("a", memory(5))], 3, "start new on one", id="beside another"),
        pytest.param([resident("a", memory(5))], 4, "evict a for new", id="the only one"),
        pytest.param([resident("a", memory(9))], 1, "evict a for new", id="one that has more than there is"),
        pytest.param(
            [resident("a", memory(4), used=10), resident("b", memory(4), used=20)],
            4,
            "evict b for new",
            id="the one not used for longest",
        ),
        pytest.param(
            [resident("a", memory(4), used=10), resident("b", memory(4), used=20)],
            8,
            "evict a, b for new",
            id="as many as it takes",
        ),
        pytest.param(
            [resident("a", memory(4), used=20), resident("b", memory(4), used=20, start_seconds=4)],
            4,
            "evict b for new",
            id="the one that starts again soonest",
        ),
        pytest.param(
            [*(resident(name, memory(2), used=900) for name in "abc"), resident("d", memory(2), used=1)],
            2,
            "evict a for new",
            id="the first of those that are alike",
        ),
        pytest.param(
            [resident("a", memory(3), used=900), resident("b", memory(1), used=900), resident("c", memory(4), used=1)],
            4,
            "evict c for new",
            id="one instead of two, though it was used just now",
        ),
        pytest.param(
            [resident("a", memory(4), used=20, endless=True), resident("b", memory(4), used=10)],
            4,
            "evict b for new",
            id="an endless TTL goes last",
        ),
        pytest.param(
            [resident("a", memory(4), endless=True), *(resident(name, memory(2)) for name in "bc")],
            4,
            "evict b, c for new",
            id="even after two others",
        ),
        pytest.param(
            [resident("a", memory(4), endless=True), resident("b", memory(4), BUSY)],
            4,
            "evict a for new",
            id="but it goes",
        ),
        pytest.param(
            [resident("a", memory(4), pinned=True), resident("b", memory(4), used=1)],
            4,
            "evict b for new",
            id="a pinned one never goes",
        ),
        pytest.param([resident("a", memory(8), pinned=True)], 4, "new waits", id="even when it is alone"),
        pytest.param(
            [resident("a", memory(1), used=20), resident("b", memory(7), used=10)],
            6,
            "evict b for new",
            id="a small one does not go for nothing",
        ),
        pytest.param(
            [resident("a", memory(2)), resident("b", memory(6), BUSY)],
            4,
            "new waits",
            id="nor with a busy one beside it",
        ),
        pytest.param(
            [resident("a", memory(4), BUSY, used=99), resident("b", memory(4), used=1)],
            4,
            "evict b for new",
            id="never a busy one",
        ),
        pytest.param(
            [resident("a", memory(4), STARTING, used=99), resident("b", memory(4))],
            4,
            "evict b for new",
            id="never one that starts",
        ),
        pytest.param(
            [resident("a", memory(4), LEAVING), resident("b", memory(4))],
            4,
            "new waits",
            id="nobody while what ends is enough",
        ),
        pytest.param(
            [resident("a", memory(4), priority=1), resident("b", memory(4), used=1)],
            4,
            "evict b for new",
            id="never one of a higher priority",
        ),
    ],
)
def test_room_is_made_of_what_is_idle(residents: list[Resident], gigabytes: float, expected: str) -> None:
    assert on_one_machine(residents, gigabytes)[0] == expected


@pytest.mark.parametrize(
    ("residents", "gigabytes", "expected"),
    [
        pytest.param(
            [resident("a", memory(4), BUSY, ready=10), resident("b", memory(4), BUSY, ready=900)],
            4,
            "close b for new",
            id="the one that was ready longest",
        ),
        pytest.param(
            [resident("a", memory(4), BUSY, ready=10, closed=True), resident("b", memory(4), BUSY, ready=900)],
            4,
            "close a for new",
            id="the one that is closed already",
        ),
        pytest.param(
            [
                resident("idle", memory(2)),
                resident("a", memory(3), BUSY, ready=900),
                resident("b", memory(3), BUSY, ready=10),
            ],
            5,
            "close a for new",
            id="idle ones count before a busy one",
        ),
        pytest.param([resident("a", memory(8), STARTING)], 4, "new waits", id="not one that starts"),
        pytest.param([resident("a", memory(8), BUSY, pinned=True)], 4, "new waits", id="not a pinned one"),
        pytest.param([resident("a", memory(8), BUSY, priority=1)], 4, "new waits", id="not one of a higher priority"),
    ],
)
def test_whoever_has_waited_long_has_busy_models_closed(
    residents: list[Resident], gigabytes: float, expected: str
) -> None:
    assert on_one_machine(residents, gigabytes, waits=1) == ["new waits"]
    assert on_one_machine(residents, gigabytes, waits=6)[0] == expected


def test_a_busy_model_has_its_time_before_it_yields() -> None:
    node = RoomNode("one", gpus(1))
    for ready, expected in ((599, ["new waits"]), (600, ["close a for new", "new waits"])):
        busy = resident("a", gpus(1), BUSY, ready=ready)
        assert brief(decided([node], [busy], [demand("new", gpus(1), waits=60)])) == expected


def test_a_model_that_has_just_come_is_not_evicted() -> None:
    node, settings = RoomNode("one", gpus(1)), RoomSettings(min_residency=NO_PATIENCE.patience)
    for ready, expected in ((4, "new waits"), (5, "evict a for new")):
        young = resident("a", gpus(1), ready=ready)
        assert brief(decided([node], [young], [demand("new", gpus(1))], settings))[0] == expected


def test_what_never_fits_is_refused_with_the_figures() -> None:
    nodes = [RoomNode("small", {GPU: 1, **memory(64)}), RoomNode("large", {GPU: 2, **memory(64)})]
    [refused] = decided(nodes, [], [demand("new", {GPU: 4, **memory(80)}, {GPU: 4, **memory(40)})])
    assert isinstance(refused, RefuseModel)
    assert refused.reason == "NeverFits"
    assert refused.message == (
        "new needs at least 40.0 GB of memory, 4 nvidia.com/gpu, and the nearest node, large, has 2 nvidia.com/gpu"
    )
    assert refused.missing == gpus(2)


def test_the_first_context_that_fits_is_taken_and_room_is_made_for_the_smallest() -> None:
    node = RoomNode("one", memory(8))
    wanted = demand("new", memory(16), memory(6), memory(3))
    assert brief(decided([node], [], [wanted])) == ["start new on one with shape 1"]
    assert brief(decided([node], [resident("a", memory(5))], [wanted])) == ["start new on one with shape 2"]
    held = [resident("a", memory(4)), resident("b", memory(2), used=900)]
    assert brief(decided([node], held, [wanted]))[0] == "evict b for new", "for 6 GB both would have to go"


def test_who_waits_hears_who_holds_what() -> None:
    busy = [resident("a", gpus(1), BUSY, ready=30), resident("b", gpus(1), STARTING)]
    [waiting] = decided([RoomNode("one", gpus(2))], busy, [demand("new", gpus(1), waits=9)])
    assert isinstance(waiting, KeepWaiting)
    assert (
        waiting.message
        == "it needs 1 nvidia.com/gpu; on one: a (1 nvidia.com/gpu, busy), b (1 nvidia.com/gpu, starting)"
    )
    assert waiting.estimate_seconds == 30


def test_the_line_is_first_come_first_served_by_priority() -> None:
    node = RoomNode("one", gpus(1))
    wanted = [demand("late", gpus(1), waits=1), demand("early", gpus(1), waits=9), demand("high", gpus(1), priority=1)]
    assert brief(decided([node], [], wanted)) == ["start high on one", "early waits", "late waits at place 2"]


def test_a_small_demand_takes_nothing_of_what_an_earlier_one_waits_for() -> None:
    node = RoomNode("one", {GPU: 2, **memory(100)})
    wanted = [
        demand("large", {GPU: 2, **memory(40)}, waits=9),
        demand("small", {GPU: 1, **memory(10)}, waits=5),
        demand("beside", memory(20), waits=3),
    ]
    busy = resident("a", {GPU: 1, **memory(30)}, BUSY, ready=10)
    assert brief(decided([node], [busy], wanted)) == ["large waits", "small waits at place 2", "start beside on one"]


def test_a_small_demand_does_not_wait_for_a_large_one_on_another_node() -> None:
    nodes = [RoomNode("one", gpus(2)), RoomNode("two", gpus(2))]
    busy = [
        resident("a", gpus(1), BUSY, node="one", ready=10),
        resident("b", gpus(1), BUSY, node="two", ready=20),
    ]
    wanted = [demand("large", gpus(2), waits=9), demand("small", gpus(1), waits=5)]
    assert brief(decided(nodes, busy, wanted)) == ["large waits", "start small on one"], (
        "two is certain to be free first"
    )


def test_closing_names_only_what_is_busy() -> None:
    held = [resident("idle", gpus(1)), resident("a", gpus(1), BUSY, ready=900)]
    actions = decided([RoomNode("one", gpus(2))], held, [demand("new", gpus(2), waits=9)])
    assert [action.names for action in actions if isinstance(action, CloseModels)] == [("a",)]
    assert brief(actions) == ["close a for new", "new waits"], "the idle one serves on until it is of use"
