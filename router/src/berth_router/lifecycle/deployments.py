"""The watched view of all deployments, and what it says of one. Nothing else in the router watches."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from pydantic import ValidationError

from berth_api.activity import evicted_until
from berth_api.conditions import PLANNED_DISRUPTIONS, ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, Phase
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Cluster, Object, WatchEvent
from berth_cluster.following import Snapshot, follow
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)


_READY = Phase.READY  # a look-up of an enum's member costs Python 3.11 more than the rest of `is_ready`


def is_ready(deployment: ModelDeployment) -> bool:
    """Whether the deployment's engine takes requests now."""
    status = deployment.status
    return status.phase is _READY and bool(status.endpoint) and not deployment.deleting


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an engine that broke off."""

    planned: bool
    """Somebody removed it on purpose, so its requests are not the cause."""
    text: str
    """What became of it, for people."""


def fate_between(before: ModelDeployment, now: ModelDeployment | None) -> Fate | None:
    """What became of the engine that `before` had. Pure. None: the operator has not reported it yet."""
    if now is None or now.uid != before.uid or now.deleting:
        return Fate(planned=True, text="It was deleted.")
    failure, known = now.status.last_failure, before.status.last_failure
    if failure and (known is None or failure.at > known.at):
        return Fate(planned=False, text=f"{failure.reason}: {failure.message}")
    ready = condition_of(now.status.conditions, ConditionType.READY)
    if ready and ready.status != "True" and ready.reason in PLANNED_DISRUPTIONS:
        return Fate(planned=True, text=f"{ready.reason}: {PLANNED_DISRUPTIONS[ready.reason]}")
    if now.status.pod_name != before.status.pod_name or now.status.phase is Phase.PENDING:
        return Fate(planned=True, text="Its pod was deleted.")
    return None


async def wait_until(event: asyncio.Event, deadline: float) -> bool:
    """Waits for the event. False: `deadline`, in seconds of `time.monotonic`, came first."""
    try:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes as the event is set.
        async with asyncio.timeout(deadline - time.monotonic()):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Deployments:
    """Every deployment as the cluster last reported it, and an event for each change."""

    def __init__(self, cluster: Cluster, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._clock = clock
        self._by_name: dict[str, ModelDeployment] = {}
        self._by_model: dict[str, dict[str, ModelDeployment]] = {}
        self._changes: dict[str, asyncio.Event] = {}
        self._listeners: list[Callable[[ModelDeployment], None]] = []
        self._removal_listeners: list[Callable[[ModelDeployment], None]] = []
        self._closed_until = dict[str, datetime]()
        """Until when a replica has closed each deployment, by uid. Most deployments are not here."""
        self._watched_version = 0
        """The newest version that the watch has shown."""
        self._closed: set[str] = set()
        self._evicted_until = dict[str, datetime]()
        """Until when the operator has closed each deployment to make room, by uid. Most deployments are not here."""
        self.changes = 0
        """How often the view has changed. What was found in the view holds while this is the same."""
        self.synced = asyncio.Event()
        """Set once the first snapshot is in the view."""

    async def run(self) -> None:
        """Keeps the view up to date, for ever."""
        async for change in follow(self._cluster, MODEL_DEPLOYMENTS):
            if isinstance(change, Snapshot):
                self._apply_snapshot(change)
                self.synced.set()
            else:
                self._apply_event(change)

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
        """Set at the next change of the deployment of this name. Get the event before you read the deployment."""
        return self._changes.setdefault(name, asyncio.Event())

    def listen(self, listener: Callable[[ModelDeployment], None]) -> None:
        """Calls `listener` with each deployment that is new or has changed, once the view shows it."""
        self._listeners.append(listener)

    def listen_for_removal(self, listener: Callable[[ModelDeployment], None]) -> None:
        """Calls `listener` with each deployment that is gone, once the view does not show it any more."""
        self._removal_listeners.append(listener)

    def put(self, manifest: Object) -> None:
        """Adds what a write returned, before the watch shows it. An older version than the view has is ignored."""
        name = manifest["metadata"]["name"]
        version = int(manifest["metadata"]["resourceVersion"])
        # The watch has shown everything up to this version: an object that is not in the view was deleted since.
        if name not in self._by_name and version <= self._watched_version:
            return
        self._store(manifest)

    def forget(self, deployment: ModelDeployment) -> None:
        """Removes a deployment that a write found gone, before the watch shows it."""
        known = self._by_name.get(deployment.name)
        if known and known.uid == deployment.uid:
            self._remove(deployment.name)

    def close(self, deployment: ModelDeployment) -> None:
        """Marks a deployment that this replica unloads: it takes no new claims."""
        self._closed.add(deployment.uid)
        self.changes += 1
        self._wake(deployment.name)

    def reopen(self, deployment: ModelDeployment) -> None:
        """Undoes `close`."""
        self._closed.discard(deployment.uid)

    def is_closed(self, deployment: ModelDeployment) -> bool:
        """Whether a replica unloads the deployment, so that it takes no new claims."""
        if deployment.uid in self._closed:
            return True
        closed_until = self._closed_until.get(deployment.uid)
        return closed_until is not None and closed_until > self._clock()

    def is_evicting(self, deployment: ModelDeployment) -> bool:
        """Whether new requests for the deployment have to wait until it has made room, or stays after all."""
        evicted = self._evicted_until.get(deployment.uid)
        return evicted is not None and evicted > self._clock()

    def _apply_snapshot(self, snapshot: Snapshot) -> None:
        version = int(snapshot.resource_version)
        present = {item["metadata"]["name"] for item in snapshot.items}
        # What this router has written since the list was made is not in it, and not gone.
        missing = [known for name, known in self._by_name.items() if name not in present]
        for known in missing:
            if int(known.resource_version) <= version:
                self._remove(known.name)
        self._watched_version = max(self._watched_version, version)
        for item in snapshot.items:
            self._store(item)

    def _apply_event(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        version = int(metadata["resourceVersion"])
        self._watched_version = max(self._watched_version, version)
        if event.type != "DELETED":
            self._store(event.object)
            return
        known = self._by_name.get(metadata["name"])
        if known and int(known.resource_version) <= version:
            self._remove(metadata["name"])

    def _store(self, manifest: Object) -> None:
        try:
            deployment = ModelDeployment.parse(manifest)
        except ValidationError as error:
            # A newer version of Berth has stored it, or an older schema: this router cannot use it.
            _log.warning("deployment_not_understood", name=manifest["metadata"]["name"], error=str(error))
            return
        known = self._by_name.get(deployment.name)
        if known and int(known.resource_version) >= int(deployment.resource_version):
            return
        if known and (known.uid != deployment.uid or known.spec.model != deployment.spec.model):
            self._remove(deployment.name)
        closed = [entry.closed_until for entry in deployment.status.activity.values() if entry.closed_until]
        _keep(self._closed_until, deployment.uid, max(closed, default=None))
        _keep(self._evicted_until, deployment.uid, evicted_until(deployment))
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
        self._evicted_until.pop(deployment.uid, None)
        self._closed_until.pop(deployment.uid, None)
        of_model = self._by_model[deployment.spec.model]
        del of_model[name]
        if not of_model:
            del self._by_model[deployment.spec.model]
        self._wake(name)
        for listener in self._removal_listeners:
            listener(deployment)

    def _wake(self, name: str) -> None:
        change = self._changes.pop(name, None)
        if change:
            change.set()


def _keep(moments: dict[str, datetime], key: str, moment: datetime | None) -> None:
    if moment:
        moments[key] = moment
    else:
        moments.pop(key, None)
