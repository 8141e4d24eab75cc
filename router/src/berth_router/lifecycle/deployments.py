"""The watched view of all ModelDeployments. Nothing else in the router watches."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import structlog
from pydantic import ValidationError

from berth_api.model_deployment import ModelDeployment, Phase
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, Object, WatchEvent
from berth_cluster.following import Snapshot, follow
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)


_READY = Phase.READY  # looking a member up in its class takes Python 3.11 longer than all that is done with it


def is_ready(deployment: ModelDeployment) -> bool:
    """Whether the deployment's engine takes requests now."""
    status = deployment.status
    return status.phase is _READY and bool(status.endpoint) and not deployment.deleting


class Deployments:
    """Every deployment as the cluster last told, and a wake-up for whoever waits for one to change."""

    def __init__(self, cluster: Cluster, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._clock = clock
        self._by_name: dict[str, ModelDeployment] = {}
        self._by_model: dict[str, dict[str, ModelDeployment]] = {}
        self._changes: dict[str, asyncio.Event] = {}
        self._listeners: list[Callable[[ModelDeployment], None]] = []
        self._mourners: list[Callable[[ModelDeployment], None]] = []
        # Until when a replica has closed each deployment to requests, by uid; of most there is nothing here.
        self._closed_until = dict[str, datetime]()
        self._told_up_to = 0
        self._closed: set[str] = set()
        self._evicting: set[str] = set()
        self.changes = 0
        """Of the view, so far: what was found out about it holds as long as this is the same."""
        self.synced = asyncio.Event()
        """Set once the first snapshot is in the view."""

    async def run(self) -> None:
        """Keeps the view up to date, for ever."""
        async for news in follow(self._cluster, MODEL_DEPLOYMENTS):
            if isinstance(news, Snapshot):
                self._take_snapshot(news.items)
                self.synced.set()
            else:
                self._take_event(news)

    def get(self, name: str) -> ModelDeployment | None:
        """The deployment of this name, or None where there is none."""
        return self._by_name.get(name)

    def of_model(self, model: str) -> Iterable[ModelDeployment]:
        """The deployments of a model path."""
        return self._by_model.get(model, {}).values()

    def all(self) -> Sequence[ModelDeployment]:
        """Every deployment, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def change(self, name: str) -> asyncio.Event:
        """Set at the next change of the deployment of this name. Take it before reading the state that is waited on."""
        return self._changes.setdefault(name, asyncio.Event())

    def listen(self, listener: Callable[[ModelDeployment], None]) -> None:
        """Has `listener` called with each deployment that comes or changes, once the view shows it."""
        self._listeners.append(listener)

    def listen_for_end(self, listener: Callable[[ModelDeployment], None]) -> None:
        """Has `listener` called with each deployment that is gone, once the view does not show it any more."""
        self._mourners.append(listener)

    def put(self, manifest: Object) -> None:
        """Takes in what a write returned, ahead of the watch. Ignored where the view already knows something newer."""
        name = manifest["metadata"]["name"]
        version = int(manifest["metadata"]["resourceVersion"])
        # Up to this version the watch has told of everything: an object that is not in the view has been deleted since.
        if name not in self._by_name and version <= self._told_up_to:
            return
        self._store(manifest)

    def forget(self, deployment: ModelDeployment) -> None:
        """Takes out a deployment that a write found gone, ahead of the watch."""
        held = self._by_name.get(deployment.name)
        if held and held.uid == deployment.uid:
            self._remove(deployment.name)

    def close(self, deployment: ModelDeployment) -> None:
        """Marks a deployment as about to be unloaded by this replica: it takes no new requests."""
        self._closed.add(deployment.uid)
        self.changes += 1
        self._wake(deployment.name)

    def reopen(self, deployment: ModelDeployment) -> None:
        """Undoes `close`."""
        self._closed.discard(deployment.uid)

    def is_closed(self, deployment: ModelDeployment) -> bool:
        """Whether a replica is about to unload the deployment, so that it takes no new requests."""
        if deployment.uid in self._closed:
            return True
        closed_until = self._closed_until.get(deployment.uid)
        return closed_until is not None and closed_until > self._clock()

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        """Keeps new requests for a deployment waiting, because its memory is wanted for another."""
        self._evicting.add(deployment.uid)
        self.changes += 1

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        """Undoes `mark_evicting`."""
        if deployment.uid in self._evicting:
            self._evicting.discard(deployment.uid)
            self._wake(deployment.name)

    def is_evicting(self, deployment: ModelDeployment) -> bool:
        """Whether new requests for the deployment have to wait until it is gone, or no longer held."""
        return deployment.uid in self._evicting

    def _take_snapshot(self, items: Sequence[Object]) -> None:
        present = {item["metadata"]["name"] for item in items}
        for name in [name for name in self._by_name if name not in present]:
            self._remove(name)
        for item in items:
            self._told_up_to = max(self._told_up_to, int(item["metadata"]["resourceVersion"]))
            self._store(item)

    def _take_event(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        version = int(metadata["resourceVersion"])
        self._told_up_to = max(self._told_up_to, version)
        if event.type != "DELETED":
            self._store(event.object)
            return
        held = self._by_name.get(metadata["name"])
        if held and int(held.resource_version) <= version:
            self._remove(metadata["name"])

    def _store(self, manifest: Object) -> None:
        try:
            deployment = ModelDeployment.parse(manifest)
        except ValidationError as error:
            # Stored by a newer version of Berth, or under an older schema: not ours to route to.
            _log.warning("deployment_not_understood", name=manifest["metadata"]["name"], error=str(error))
            return
        held = self._by_name.get(deployment.name)
        if held and int(held.resource_version) >= int(deployment.resource_version):
            return
        if held and (held.uid != deployment.uid or held.spec.model != deployment.spec.model):
            self._remove(deployment.name)
        closed = [entry.closed_until for entry in deployment.status.activity.values() if entry.closed_until]
        if closed:
            self._closed_until[deployment.uid] = max(closed)
        else:
            self._closed_until.pop(deployment.uid, None)
        self.changes += 1
        self._by_name[deployment.name] = deployment
        self._by_model.setdefault(deployment.spec.model, {})[deployment.name] = deployment
        self._wake(deployment.name)
        for listener in self._listeners:
            listener(deployment)

    def _remove(self, name: str) -> None:
        self.changes += 1
        deployment = self._by_name.pop(name)
        self._closed.discard(deployment.uid)
        self._evicting.discard(deployment.uid)
        self._closed_until.pop(deployment.uid, None)
        of_model = self._by_model[deployment.spec.model]
        del of_model[name]
        if not of_model:
            del self._by_model[deployment.spec.model]
        self._wake(name)
        for listener in self._mourners:
            listener(deployment)

    def _wake(self, name: str) -> None:
        change = self._changes.pop(name, None)
        if change:
            change.set()
