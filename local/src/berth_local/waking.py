"""What Kopf is to the operator in Kubernetes: it watches, and wakes the reconcilers."""

from collections.abc import Callable, Mapping

from berth_api.cluster import Cluster, Kind, Object
from berth_api.following import Snapshot, follow


async def wake_on_changes(
    cluster: Cluster, kind: Kind, wake: Callable[[str, Object], None], label: str | None = None
) -> None:
    """Calls `wake` for each object there is, and whenever one changes, for ever.

    It gets the object's name, or the value of the label, and the object.
    """
    async for news in follow(cluster, kind):
        for item in news.items if isinstance(news, Snapshot) else [news.object]:
            name = _name(item["metadata"], label)
            if name:
                wake(name, item)


def _name(metadata: Object, label: str | None) -> str | None:
    labels: Mapping[str, str] = metadata.get("labels") or {}
    return labels.get(label) if label else metadata["name"]
