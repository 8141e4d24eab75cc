"""What depends on others: on Kubernetes' scheduler, on pods that are not Berth's, and on who may look at what."""

from dataclasses import replace

from berth_api.room.actions import KeepWaiting
from berth_api.room.decide import decide
from berth_api.room.snapshot import (
    ForeignPod,
    PendingPod,
    Resident,
    RoomDemand,
    RoomNode,
    RoomSettings,
    RoomSnapshot,
    Taint,
    TolerationRule,
)
from tests.unit.crds.room.worlds import (
    BUSY,
    GPU,
    LEAVING,
    NOW,
    STARTING,
    brief,
    decided,
    demand,
    gpus,
    memory,
    resident,
)

REFUSED = PendingPod(0, "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", (GPU,))


def blindly(residents: list[Resident], demands: list[RoomDemand], settings: RoomSettings | None = None) -> list[str]:
    return brief(decide(RoomSnapshot(None, tuple(residents), tuple(demands)), settings or RoomSettings(), NOW))


def test_a_pod_that_nobody_waits_for_is_withdrawn() -> None:
    gone = replace(demand("gone", gpus(1)), waited_for=False)
    node = RoomNode("one", gpus(1))
    assert brief(decided([node], [], [replace(gone, pod=REFUSED)])) == ["withdraw gone"]
    assert brief(decided([node], [], [gone])) == []


def test_nothing_is_evicted_for_what_a_pod_of_others_would_take() -> None:
    node, idle = RoomNode("one", gpus(2)), [resident("a", gpus(1), used=900), resident("b", gpus(1))]
    other = ForeignPod(gpus(1))
    assert brief(decided([node], idle, [demand("new", gpus(1))], foreign_waiting=[other]))[0] == "evict a, b for new"
    assert brief(decided([node], idle, [demand("new", gpus(2))], foreign_waiting=[other])) == ["new waits"]


def test_what_comes_free_is_nobodys_while_a_pod_of_others_would_take_it() -> None:
    node, other = RoomNode("one", gpus(2)), ForeignPod(gpus(1))
    leaving, stays = resident("a", gpus(1), LEAVING), resident("b", gpus(1), BUSY)
    [waiting] = decided([node], [leaving, stays], [demand("new", gpus(1))], foreign_waiting=[other])
    assert waiting.reason == "Queued"
    both_leave = [leaving, replace(stays, state=LEAVING)]
    [waiting] = decided([node], both_leave, [demand("new", gpus(1))], foreign_waiting=[other])
    assert waiting.reason == "RoomIsComing"


def test_so_many_engines_start_on_a_node_at_once() -> None:
    node = RoomNode("one", memory(9))
    starting = resident("a", memory(3), STARTING)
    wanted = [demand("b", memory(3), waits=2), demand("c", memory(3), waits=1)]
    two = RoomSettings(starts_per_node=2)
    assert brief(decided([node], [starting], wanted, two)) == ["start b on one", "c waits"]
    [_, waiting] = decided([node], [starting], wanted, two)
    assert waiting.reason == "StartsLimited"


def test_an_engine_that_cannot_run_yet_is_none_that_starts() -> None:
    node, one = RoomNode("one", memory(9)), RoomSettings(starts_per_node=1)
    without_image = replace(resident("a", memory(3), STARTING), hindered=True)
    assert brief(decided([node], [without_image], [demand("b", memory(3))], one)) == ["start b on one"]
    assert blindly([without_image], [demand("b", memory(3))], one) == ["start b on None"]


def test_who_has_a_share_of_a_device_starts_alone_on_its_node() -> None:
    nodes = [RoomNode("one", {GPU: 4, **memory(9)}), RoomNode("two", {GPU: 1, **memory(9)})]
    shared = RoomSettings(starts_per_node=4, shared=frozenset({GPU}))
    starting = resident("a", gpus(1), STARTING)
    wanted = [demand("b", gpus(1), waits=4), demand("c", gpus(1), waits=3), demand("d", memory(1), waits=2)]
    assert brief(decided(nodes, [starting], wanted, shared)) == ["start b on two", "c waits", "start d on one"]
    [_, waiting] = decided(nodes, [starting], wanted[:2], shared)
    assert waiting.reason == "StartsLimited"
    assert waiting.message == "one has room for it, and an engine starts there already"
    ready = resident("a", gpus(1))
    assert brief(decided(nodes, [ready], wanted, shared))[:2] == ["start b on two", "start c on one"]


def test_a_pod_that_is_about_to_get_its_node_starts_before_all() -> None:
    node, shared = RoomNode("one", gpus(4)), RoomSettings(shared=frozenset({GPU}))
    on_its_way = replace(demand("first", gpus(1)), pod=PendingPod(0))
    actions = decided([node], [], [on_its_way, demand("urgent", gpus(1), waits=9, priority=1)], shared)
    assert brief(actions) == ["first waits", "urgent waits"]


def test_no_place_changes_while_the_scheduler_looks_at_another_pod() -> None:
    waiting = [
        replace(demand(name, gpus(1), waits=9 - at), pod=PendingPod(0, "no such label"))
        for at, name in enumerate("abc")
    ]
    before = blindly([], waiting)
    newcomer = replace(demand("new", gpus(1)), pod=PendingPod(0))
    assert before == ["a waits", "b waits at place 2", "c waits at place 3"]
    assert [line for line in blindly([], [*waiting, newcomer]) if not line.startswith("new ")] == before


def test_labels_and_taints_keep_a_demand_off_a_node() -> None:
    fast = RoomNode("fast", gpus(1), {"gpu": "fast"}, (Taint("dedicated", "models"),))
    nodes = [fast, RoomNode("slow", gpus(1), {"gpu": "slow"})]
    wanted = replace(demand("new", gpus(1)), node_selector={"gpu": "fast"})
    assert brief(decided(nodes, [], [wanted])) == ["refuse new"]
    tolerant = replace(wanted, tolerations=(TolerationRule("dedicated", exists=True),))
    assert brief(decided(nodes, [], [tolerant])) == ["start new on fast"]


def test_a_node_that_is_cordoned_is_waited_for() -> None:
    nodes = [RoomNode("one", gpus(1), schedulable=False)]
    assert brief(decided(nodes, [resident("a", gpus(1))], [demand("new", gpus(1))])) == ["new waits"]


def test_where_nodes_are_added_a_pod_asks_for_one() -> None:
    node, settings = RoomNode("one", gpus(1)), RoomSettings(autoscaled=True)
    busy = resident("a", gpus(1), BUSY, ready=9)
    wanted = [demand("new", gpus(1), waits=2), demand("next", gpus(1), waits=1), demand("huge", gpus(9))]
    assert brief(decided([node], [busy], wanted, settings))[0] == "start new on None"
    assert not any(line.startswith("refuse") for line in brief(decided([node], [busy], wanted, settings)))


def test_what_keeps_a_pod_off_all_nodes_besides_room_is_said() -> None:
    held = replace(demand("new", gpus(1)), pod=PendingPod(0, "had volume node affinity conflict"))
    [waiting] = decided([RoomNode("one", gpus(1))], [resident("a", gpus(1))], [held])
    assert isinstance(waiting, KeepWaiting)
    assert "volume node affinity" in waiting.message


def test_where_nodes_are_not_known_the_scheduler_speaks_first() -> None:
    idle, wanted = [resident("a", gpus(1))], demand("new", gpus(1))
    assert blindly(idle, [wanted]) == ["start new on None"]
    assert blindly(idle, [replace(wanted, pod=PendingPod(0))]) == ["new waits"]
    assert blindly(idle, [replace(wanted, pod=REFUSED)]) == ["evict a for new", "new waits"]


def test_where_nodes_are_not_known_engines_start_by_the_limit_of_those_that_are() -> None:
    two = RoomSettings(starts_per_node=2)
    wanted = [demand(name, memory(1), waits=9 - at) for at, name in enumerate("abc")]
    assert blindly([], wanted, two) == ["start a on None", "start b on None", "c waits"]
    on_its_way = [replace(each, pod=PendingPod(0)) for each in wanted[:2]]
    assert blindly([], [*on_its_way, wanted[2]], two) == ["a waits", "b waits", "c waits"]
    starting = [resident(name, memory(1), STARTING) for name in "ab"]
    [waiting] = decide(RoomSnapshot(None, tuple(starting), (wanted[2],)), two, NOW)
    assert (waiting.reason, waiting.message) == (
        "StartsLimited",
        "2 engines start already, on nodes at which Berth may not look",
    )
    elsewhere = resident("d", memory(1), node="two")
    assert blindly([*starting, elsewhere], [wanted[2]], two) == ["start c on None"], "two nodes are known"
    assert blindly([starting[0], resident("b", memory(1))], [wanted[2]], two) == ["start c on None"]


def test_where_nodes_are_not_known_those_with_a_share_of_a_device_start_one_after_the_other() -> None:
    shared = RoomSettings(starts_per_node=4, shared=frozenset({GPU}))
    wanted = [demand("b", gpus(1), waits=9), demand("c", gpus(1), waits=8), demand("d", memory(1), waits=7)]
    assert blindly([], wanted, shared) == ["start b on None", "c waits", "start d on None"]
    starting = [resident("a", gpus(1), STARTING), resident("e", gpus(1), node="two")]
    assert blindly(starting, wanted, shared) == ["b waits", "c waits at place 2", "start d on None"]


def test_where_nodes_are_not_known_nobody_overtakes_in_the_scheduler() -> None:
    busy = [resident("a", gpus(1), BUSY, ready=9)]
    first, later = replace(demand("first", gpus(1), waits=9), pod=REFUSED), demand("later", gpus(1), waits=2)
    assert blindly(busy, [first, later]) == ["first waits", "later waits at place 2"]
    assert blindly(busy, [first, demand("other", memory(1))]) == ["first waits", "start other on None"]


def test_where_nodes_are_not_known_nothing_goes_for_what_may_not_be_enough() -> None:
    wanted = replace(demand("new", gpus(4)), pod=REFUSED)
    [waiting] = decide(RoomSnapshot(None, (resident("a", gpus(3)),), (wanted,)), RoomSettings(), NOW)
    assert isinstance(waiting, KeepWaiting)
    assert "may not look at nodes" in waiting.message
    elsewhere = replace(demand("new", gpus(1)), pod=REFUSED, node_selector={"zone": "b"})
    assert blindly([resident("a", gpus(1))], [elsewhere]) == ["new waits"], "nothing says that the node has the label"
