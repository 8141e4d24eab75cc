"""Lists of many objects are kept as text: they read as any list does, and nobody's change of one reaches another."""

from berth_cluster.packed import PackedObjects, pack


def test_packed_objects_read_as_a_list_of_them() -> None:
    items = [{"metadata": {"name": name, "labels": {"é": "ü"}}} for name in "abc"]
    packed = PackedObjects([pack(item) for item in items])
    assert list(packed) == items
    assert (len(packed), packed[1], packed[-1], list(packed[1:])) == (3, items[1], items[2], items[1:])
    assert not PackedObjects([])


def test_what_a_reader_changes_is_its_own() -> None:
    packed = PackedObjects([pack({"spec": {"model": "/models/a"}})])
    packed[0]["spec"]["model"] = "/models/b"
    assert packed[0]["spec"]["model"] == "/models/a"
