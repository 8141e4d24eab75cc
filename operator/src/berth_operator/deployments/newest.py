"""The newest state that is known of each object of a kind: from a watch, and from this process's own writes and reads.

An object is kept as JSON text, a tenth of what it takes as a dictionary, and read anew for whoever asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from berth_cluster.cluster import Object, WatchEvent
from berth_cluster.following import Snapshot
from berth_cluster.packed import pack, unpack
from berth_operator.objects.parts import labels_of


@dataclass(frozen=True, slots=True)
class _Kept:
    """One object."""

    uid: str
    version: int
    group: str
    text: bytes


class NewestObjects:
    """Objects of one kind. An older state never takes the place of a newer one, and what is gone never comes back.

    A watch lags behind the cluster, while a write's answer and a read do not. So the watch may go on telling of an
    object what is known to be over.
    """

    def __init__(self, label: str | None = None) -> None:
        """`label`: only objects with this label are kept, grouped by its value. None: all are kept."""
        self._label = label
        self._kept: dict[str, _Kept] = {}
        self._groups: dict[str, set[str]] = {}
        """The names of each group's objects."""
        self._gone: set[str] = set()
        """uids of objects that are gone, while the watch has not shown that."""
        self._watched_version = 0
        """The newest version that the watch has shown."""

    def get(self, name: str) -> Object | None:
        """The object of this name; None where there is none."""
        kept = self._kept.get(name)
        return _read(kept) if kept else None

    def all(self) -> Iterator[Object]:
        """Every object. Each is read when its turn comes."""
        return map(_read, list(self._kept.values()))

    def group(self, group: str) -> list[Object]:
        """The objects of a group, by name."""
        return [_read(self._kept[name]) for name in sorted(self._groups.get(group, ()))]

    def uid(self, name: str) -> str | None:
        """The uid of the object of this name; None where there is none."""
        kept = self._kept.get(name)
        return kept.uid if kept else None

    def uids(self, group: str) -> dict[str, str]:
        """The uid of each object of a group, by name."""
        return {name: self._kept[name].uid for name in self._groups.get(group, ())}

    def put(self, item: Object) -> None:
        """Takes in what a write or a read has returned, before the watch shows it."""
        # The watch has shown everything up to its version: an object that is missing here was deleted since.
        if item["metadata"]["name"] in self._kept or int(item["metadata"]["resourceVersion"]) > self._watched_version:
            self._store(item)

    def lose(self, uid: str, name: str) -> None:
        """Removes an object that a read has found gone, before the watch shows it."""
        kept = self._kept.get(name)
        if kept and kept.uid == uid:
            self._gone.add(uid)
            self._remove(name)

    def show(self, event: WatchEvent) -> None:
        """Takes in what the watch shows."""
        metadata = event.object["metadata"]
        self._watched_version = max(self._watched_version, int(metadata["resourceVersion"]))
        if event.type != "DELETED":
            self._store(event.object)
            return
        self._gone.discard(metadata["uid"])
        kept = self._kept.get(metadata["name"])
        if kept and kept.uid == metadata["uid"]:
            self._remove(metadata["name"])

    def show_all(self, snapshot: Snapshot) -> tuple[Iterator[Object], list[Object]]:
        """Takes in a list of all that there was at its version. The objects that are news, and those that are gone.

        Each of the news is read when its turn comes.

        What was written after the list was made is not in it, and stays.
        """
        version = int(snapshot.resource_version)
        self._watched_version = max(self._watched_version, version)
        listed: dict[str, str] = {}
        news: list[str] = []
        for item in snapshot.items:
            metadata = item["metadata"]
            listed[metadata["name"]] = metadata["uid"]
            if self._store(item):
                news.append(metadata["name"])
        self._gone.intersection_update(listed.values())
        gone = [kept for name, kept in self._kept.items() if name not in listed and kept.version <= version]
        ended = [_read(kept) for kept in gone]
        for item in ended:
            self._remove(item["metadata"]["name"])
        return map(_read, [self._kept[name] for name in news]), ended

    def _store(self, item: Object) -> bool:
        """Whether it was newer than what was known."""
        metadata = item["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
        known = self._kept.get(name)
        group = labels_of(item).get(self._label) if self._label else ""
        if uid in self._gone or group is None or (known and known.version >= version):
            return False
        if known:
            self._remove(name)
        lean = {key: value for key, value in metadata.items() if key != "managedFields"}
        self._kept[name] = _Kept(uid, version, group, pack({**item, "metadata": lean}))
        if self._label:
            self._groups.setdefault(group, set()).add(name)
        return True

    def _remove(self, name: str) -> None:
        kept = self._kept.pop(name)
        if names := self._groups.get(kept.group):
            names.discard(name)
            if not names:
                del self._groups[kept.group]


def _read(kept: _Kept) -> Object:
    return unpack(kept.text)
