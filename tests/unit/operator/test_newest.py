"""The newest state of each object: a watch that lags brings nothing back, and takes nothing away that is newer."""

from collections.abc import Callable
from typing import Literal

import pytest

from berth_cluster.cluster import LABEL_DEPLOYMENT, Object, WatchEvent
from berth_cluster.following import Snapshot
from berth_operator.deployments.newest import NewestObjects

Step = Callable[[NewestObjects], object]


def item(version: int, uid: str = "u", name: str = "a", label: str | None = "smol") -> Object:
    labels = {} if label is None else {LABEL_DEPLOYMENT: label}
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}}


def watch(change: Literal["ADDED", "MODIFIED", "DELETED"], version: int, uid: str = "u") -> Step:
    return lambda objects: objects.show(WatchEvent(change, item(version, uid)))


def listed(version: int, *items: Object) -> Step:
    return lambda objects: objects.show_all(Snapshot(list(items), str(version)))


def put(version: int, uid: str = "u") -> Step:
    return lambda objects: objects.put(item(version, uid))


def lose(uid: str = "u") -> Step:
    return lambda objects: objects.lose(uid, "a")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([listed(5, item(3))], ("u", "3"), id="listed"),
        pytest.param([listed(5, item(3)), watch("MODIFIED", 6)], ("u", "6"), id="changed"),
        pytest.param([listed(5, item(3)), watch("DELETED", 6)], None, id="deleted"),
        pytest.param([listed(5, item(3)), put(8), watch("MODIFIED", 7)], ("u", "8"), id="a write, and a watch behind"),
        pytest.param([listed(5, item(3)), put(8), put(7)], ("u", "8"), id="a write, and a read that began before it"),
        pytest.param([listed(5), put(8)], ("u", "8"), id="created, and not shown yet"),
        pytest.param([listed(5), put(8), listed(7)], ("u", "8"), id="created after the list that comes after it"),
        pytest.param([listed(5), put(8), listed(9)], None, id="created, and gone in a later list"),
        pytest.param(
            [listed(5), watch("ADDED", 6), watch("DELETED", 7), put(6)], None, id="created, but the answer comes late"
        ),
        pytest.param(
            [listed(5, item(3)), lose(), watch("MODIFIED", 6)], None, id="known to be gone, the watch is behind"
        ),
        pytest.param([listed(5, item(3)), lose(), listed(6, item(3))], None, id="known to be gone, the list is older"),
        pytest.param([listed(5, item(3)), lose(), put(4)], None, id="known to be gone, and a read that began before"),
        pytest.param(
            [listed(5, item(3)), lose(), watch("DELETED", 7), watch("ADDED", 9, "v")], ("v", "9"), id="made again"
        ),
        pytest.param(
            [listed(5, item(3)), put(9, "v"), watch("MODIFIED", 6), watch("DELETED", 7)],
            ("v", "9"),
            id="made again before the watch shows the end of the first",
        ),
        pytest.param([listed(5, item(3)), put(9, "v"), lose()], ("v", "9"), id="the first is gone, not the second"),
        pytest.param([listed(5, item(3, "u")), listed(9, item(8, "v"))], ("v", "8"), id="made again between two lists"),
    ],
)
def test_what_is_known_of_an_object(steps: list[Step], expected: tuple[str, str] | None) -> None:
    objects = NewestObjects(LABEL_DEPLOYMENT)
    for step in steps:
        step(objects)
    found = objects.get("a")
    assert (found and (found["metadata"]["uid"], found["metadata"]["resourceVersion"])) == expected
    assert objects.uids("smol") == ({"a": expected[0]} if expected else {})
    assert list(objects.all()) == objects.group("smol") == ([found] if found else [])


def test_a_list_tells_what_is_news_and_what_has_gone() -> None:
    objects = NewestObjects()
    objects.show_all(Snapshot([item(1, "u", "a"), item(2, "v", "b"), item(3, "w", "c")], "5"))
    news, gone = objects.show_all(Snapshot([item(1, "u", "a"), item(7, "v", "b"), item(8, "x", "d")], "9"))
    assert [each["metadata"]["name"] for each in news] == ["b", "d"]
    assert [each["metadata"]["name"] for each in gone] == ["c"]


def test_an_object_moves_to_another_group_with_its_label_and_one_without_it_is_none_of_them() -> None:
    objects = NewestObjects(LABEL_DEPLOYMENT)
    objects.put(item(1))
    objects.put(item(2, label="other"))
    objects.put(item(3, uid="w", name="b", label=None))
    assert objects.group("smol") == []
    assert [each["metadata"]["name"] for each in objects.group("other")] == ["a"]
    assert objects.get("b") is None


def test_what_is_read_is_the_readers_own_and_has_no_managed_fields() -> None:
    objects = NewestObjects()
    stored = item(1)
    stored["metadata"]["managedFields"] = [{"manager": "berth"}]
    objects.put(stored)
    first = objects.get("a")
    assert first
    assert "managedFields" not in first["metadata"]
    first["metadata"]["name"] = "changed"
    again = objects.get("a")
    assert again
    assert again["metadata"]["name"] == "a"
