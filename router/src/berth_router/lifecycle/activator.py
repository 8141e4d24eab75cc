"""From a request to a deployment that is ready for it: created once, held for, and released on ready, failed or deadline."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from berth_api.cluster import (
    MODEL_DEPLOYMENTS,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Object,
)
from berth_api.conditions import ConditionType, condition_of
from berth_api.identity import deployment_name
from berth_api.model_deployment import ModelDeployment, Phase
from berth_router.ask import Ask
from berth_router.errors import APIError, DeadlineError, InvalidRequestError, StartFailedError, UnavailableError
from berth_router.lifecycle.activity import Activity, Clock, DeploymentGoneError, Use, is_protected, utc_now
from berth_router.lifecycle.deployments import Deployments, is_ready
from berth_router.lifecycle.resolve import Create, Inventory, Policy, Refuse, manifest, match, resolve
from berth_router.metrics import Metrics
from berth_router.stats import Stats
from berth_router.store import ModelStore

_log = structlog.get_logger(__name__)

Progress = Callable[[str], Awaitable[None]]
"""Told in a few words what a held request waits for, at every change and now and then without one."""

PROGRESS_SECONDS = 5.0
"""Longest silence between two words of progress: below the idle time-out of any proxy in between."""

_ATTACH_SECONDS = 5.0
"""Longest wait for the watch to show an object that a write said is there."""

_LONGEST_WORD = 200
"""Characters of a word of progress that are passed on."""

_MAX_ATTEMPTS = 8
"""How often one request may find its deployment gone before it gives up."""


@dataclass(slots=True)
class Hold:
    """A deployment that is kept for one request. Give it back with `Activator.release`."""

    deployment: ModelDeployment
    use: Use
    ttl: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an engine that broke off."""

    planned: bool
    """Somebody took it away, so that its requests are not to blame."""
    text: str
    """What people are told."""


class Activator:
    """Makes models ready for requests."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        deployments: Deployments,
        store: ModelStore,
        activity: Activity,
        policy: Policy,
        metrics: Metrics,
        stats: Stats,
        deadline_seconds: float,
        max_waiting_per_model: int,
        clock: Clock = utc_now,
    ) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._store = store
        self._activity = activity
        self._policy = policy
        self._metrics = metrics
        self._stats = stats
        self._deadline_seconds = deadline_seconds
        self._max_waiting = max_waiting_per_model
        self._clock = clock
        self._waiting: dict[str, int] = {}
        self._creating: dict[str, asyncio.Task[None]] = {}

    def deadline(self) -> float:
        """The moment, on the monotonic clock, until which a request that comes now is held."""
        return time.monotonic() + self._deadline_seconds

    async def activate(self, ask: Ask, deadline: float, progress: Progress | None = None, *, again: bool = False) -> Hold:
        """A ready deployment for the request, protected from idleness; at once where one is ready.

        `progress` is called only once the request is held. `again`: the request has been counted. Raises APIError.
        """
        hold = None if again else self.claim_ready(ask)
        if hold:
            return hold
        if not again:
            self._stats.count(hit=False)
        return await self._activate_cold(ask, deadline, progress)

    def claim_ready(self, ask: Ask) -> Hold | None:
        """A ready deployment for the request that it may use at once; None, and nothing counted, where it has to wait."""
        ready = match(ask, self._deployments.of_model(ask.model))
        if not ready or not is_ready(ready) or self._deployments.is_closing(ready) or self._deployments.is_held(ready):
            return None
        ttl = _ttl(ask, ready)
        use = self._activity.begin(ready, ttl)
        if not is_protected(use, ready, use.last_activity):
            self._activity.end(use, ttl)
            return None
        self._stats.count(hit=True)
        return Hold(ready, use, ttl)

    def release(self, hold: Hold) -> None:
        """Ends the keeping of a deployment for a request."""
        self._activity.end(hold.use, hold.ttl)

    async def failure_of(self, deployment: ModelDeployment, within: float) -> str | None:
        """Why the engine of a deployment broke, as soon as the operator has found out; None where it has not `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid:
                return "It was deleted."
            failure = now.status.last_failure
            known = deployment.status.last_failure
            if failure and (known is None or failure.at > known.at):
                return f"{failure.reason}: {failure.message}"
            if not await _wait(change, deadline):
                return None

    async def fate_of(self, deployment: ModelDeployment, within: float) -> Fate | None:
        """What became of the deployment's engine, as soon as the operator has found out; None where it has not `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid or now.deleting:
                return Fate(planned=True, text="It was deleted.")
            failure = now.status.last_failure
            known = deployment.status.last_failure
            if failure and (known is None or failure.at > known.at):
                return Fate(planned=False, text=f"{failure.reason}: {failure.message}")
            if now.status.pod_name != deployment.status.pod_name or now.status.phase is Phase.PENDING:
                return Fate(planned=True, text="Its pod was deleted.")
            if not await _wait(change, deadline):
                return None

    async def await_change(self, deployment: ModelDeployment, within: float) -> None:
        """Returns when the view has another version of the deployment than this, or after `within` seconds."""
        change = self._deployments.change(deployment.name)
        now = self._deployments.get(deployment.name)
        if now and now.resource_version == deployment.resource_version:
            await _wait(change, time.monotonic() + within)

    async def _activate_cold(self, ask: Ask, deadline: float, progress: Progress | None) -> Hold:
        waiting = self._waiting.get(ask.model, 0)
        if waiting >= self._max_waiting:
            raise UnavailableError(
                f"{waiting} requests already wait for {ask.model}, which is as many as are held.", code="too_many_waiting"
            )
        self._waiting[ask.model] = waiting + 1
        started = time.monotonic()
        outcome = "cancelled"
        try:
            hold = await self._attempts(ask, deadline, progress)
            outcome = "ready"
        except APIError as error:
            outcome = error.code or "error"
            raise
        else:
            return hold
        finally:
            self._metrics.held(outcome, time.monotonic() - started)
            self._waiting[ask.model] -= 1
            if not self._waiting[ask.model]:
                del self._waiting[ask.model]

    async def _attempts(self, ask: Ask, deadline: float, progress: Progress | None) -> Hold:
        await self._synced(deadline)
        for _ in range(_MAX_ATTEMPTS):
            deployment = await self._find_or_create(ask, deadline)
            if deployment is None:
                continue
            if self._deployments.is_held(deployment):
                await self._until_released(deployment, deadline, progress)
                continue
            ttl = _ttl(ask, deployment)
            use = self._activity.begin(deployment, ttl)
            kept = False
            try:
                ready = await self._until_ready(deployment, use, deadline, progress)
                if ready:
                    await self._protect(use, ready)
                    now = self._deployments.get(ready.name)
                    if now and now.uid == ready.uid and is_ready(now):
                        kept = True
                        return Hold(now, use, ttl)
            except DeploymentGoneError:
                pass
            finally:
                if not kept:
                    self._activity.end(use, ttl)
        raise UnavailableError(
            f"{ask.model} was unloaded again and again while this request waited for it.", code="model_unloaded", retry_after=5
        )

    async def _protected(self, hold: Hold) -> Hold | None:
        """The deployment, protected; None, and the hold released, where it turned out not to be ready any more."""
        deployment = hold.deployment
        kept = False
        try:
            await self._protect(hold.use, deployment)
            # Writing a lease takes a moment, and may itself have brought news.
            now = self._deployments.get(deployment.name)
            kept = now is not None and now.uid == deployment.uid and is_ready(now)
        except DeploymentGoneError:
            return None
        else:
            return Hold(now, hold.use, hold.ttl) if now and kept else None
        finally:
            if not kept:
                self.release(hold)

    async def _protect(self, use: Use, deployment: ModelDeployment) -> None:
        try:
            await self._activity.protect(use, deployment)
        except ClusterError as error:
            raise UnavailableError(
                f"{deployment.spec.model} is ready, but the cluster does not take the lease that keeps it so: {error}",
                code="cluster_unavailable",
            ) from error

    async def _synced(self, deadline: float) -> None:
        """Waits for the first snapshot: before it, a deployment that is live would be taken for one to create."""
        if not self._deployments.synced.is_set() and not await _wait(self._deployments.synced, min(deadline, time.monotonic() + 30)):
            raise UnavailableError("The router has not yet heard from the cluster.", code="cluster_unavailable")

    async def _find_or_create(self, ask: Ask, deadline: float) -> ModelDeployment | None:
        """The deployment for the request; None where it is worth looking again. Raises APIError."""
        decision = resolve(ask, self._deployments.all(), Inventory(exists=True), self._policy)
        if isinstance(decision, (Create, Refuse)) or decision.deployment.status.phase is Phase.STALLED:
            # What is to be created depends on the model's files. Looking takes a moment, in which another request may have created it.
            inventory = await self._store.lookup(ask.model)
            decision = resolve(ask, self._deployments.all(), inventory, self._policy)
        if isinstance(decision, Refuse):
            raise decision.error
        if not isinstance(decision, Create):
            return decision.deployment
        await self._create_once(decision, deadline)
        return match(ask, self._deployments.of_model(ask.model))

    async def _create_once(self, create: Create, deadline: float) -> None:
        """Creates the deployment, or joins whoever is about to in this replica."""
        task = self._creating.get(create.name)
        if task is None:
            task = asyncio.create_task(self._create(create, deadline))
            self._creating[create.name] = task
            task.add_done_callback(lambda done: self._created(create.name, done))
        # Shielded: the client that came first may leave while others wait.
        await asyncio.shield(task)

    def _created(self, name: str, task: asyncio.Task[None]) -> None:
        del self._creating[name]
        if not task.cancelled():
            task.exception()  # whoever still waits has it; if nobody does, there is nobody to tell

    async def _create(self, create: Create, deadline: float) -> None:
        body: Object = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            **manifest(create),
        }
        try:
            self._deployments.put(await self._cluster.create(MODEL_DEPLOYMENTS, body))
        except AlreadyExistsError:
            await self._attach(create, deadline)
        except InvalidError as error:
            raise InvalidRequestError(f"{create.spec.model} cannot be started: {error}", code="invalid_value") from error
        except ForbiddenError as error:
            raise UnavailableError(
                f"The cluster does not let {create.spec.model} be started: {error}", code="cluster_forbids", retry_after=60
            ) from error
        except ClusterError as error:
            raise UnavailableError(f"{create.spec.model} cannot be started now: {error}", code="cluster_unavailable") from error
        else:
            _log.info("deployment_created", deployment=create.name, model=create.spec.model)

    async def _attach(self, create: Create, deadline: float) -> None:
        """Returns when the object that bears the name is in the view, or is gone. Raises APIError where it is something else."""
        change = self._deployments.change(create.name)
        try:
            found = await self._cluster.get(MODEL_DEPLOYMENTS, create.name)
        except NotFoundError:
            return
        except ClusterError as error:
            raise UnavailableError(f"{create.spec.model} cannot be started now: {error}", code="cluster_unavailable") from error
        self._deployments.put(found)
        if "deletionTimestamp" in found["metadata"]:
            while (held := self._deployments.get(create.name)) and held.deleting:
                if not await _wait(change, deadline):
                    raise DeadlineError(
                        f"{create.spec.model} waits for its predecessor {create.name} to be deleted.", code="deadline_exceeded"
                    )
                change = self._deployments.change(create.name)
            return
        held = self._deployments.get(create.name)
        if held is None:
            await _wait(change, min(deadline, time.monotonic() + _ATTACH_SECONDS))
        elif deployment_name(held.spec) != create.name:
            raise UnavailableError(
                f"{create.spec.model} cannot be started: its name {create.name} is taken by a deployment with other settings.",
                code="name_taken",
            )

    async def _until_released(self, deployment: ModelDeployment, deadline: float, progress: Progress | None) -> None:
        """Returns when a held deployment is gone or no longer held. The request is not counted as its use meanwhile. Raises APIError."""
        while True:
            change = self._deployments.change(deployment.name)
            if not self._deployments.is_held(deployment):
                return
            if progress:
                await progress("waiting for memory")
            if not await _wait(change, min(deadline, time.monotonic() + PROGRESS_SECONDS)) and time.monotonic() >= deadline:
                raise DeadlineError(
                    f"{deployment.spec.model} gives its memory to another model and was not ready within {self._deadline_seconds:g} s.",
                    code="deadline_exceeded",
                    retry_after=10,
                )

    async def _until_ready(
        self, deployment: ModelDeployment, use: Use, deadline: float, progress: Progress | None
    ) -> ModelDeployment | None:
        """The deployment once it is ready; None when it is gone. Raises APIError."""
        woken = False
        changed = False
        told: str | None = None
        while True:
            change = self._deployments.change(deployment.name)
            now = self._deployments.get(deployment.name)
            if now is None or now.uid != deployment.uid or now.deleting:
                return None
            if self._deployments.is_closing(now):
                raise UnavailableError(f"{now.spec.model} is being unloaded.", code="model_unloaded", retry_after=2)
            if is_ready(now):
                return now
            if now.status.phase is Phase.STALLED:
                raise _start_failed(now, self._clock())
            if now.status.phase is Phase.SLEEPING and not woken:
                await self._wake(use, now)
            woken = now.status.phase is Phase.SLEEPING
            if progress and (not changed or waiting_for(now) != told):
                told = waiting_for(now)
                await progress(told)
            changed = await _wait(change, min(deadline, time.monotonic() + PROGRESS_SECONDS) if progress else deadline)
            if not changed and time.monotonic() >= deadline:
                raise DeadlineError(
                    f"{now.spec.model} was not ready within {self._deadline_seconds:g} s; its start goes on. It is {waiting_for(now)}.",
                    code="deadline_exceeded",
                    retry_after=10,
                )

    async def _wake(self, use: Use, deployment: ModelDeployment) -> None:
        """Tells the operator that the sleeping deployment is wanted."""
        try:
            await self._activity.write_now(use)
        except ClusterError as error:
            raise UnavailableError(
                f"{deployment.spec.model} sleeps and cannot be woken now: {error}", code="cluster_unavailable"
            ) from error


def waiting_for(deployment: ModelDeployment) -> str:
    """Where a start is, in a few words: the phase, and what the operator says of it."""
    phase = deployment.status.phase or Phase.PENDING
    reconciling = condition_of(deployment.status.conditions, ConditionType.RECONCILING)
    return f"{phase}: {_one_line(reconciling.message)}" if reconciling and reconciling.status == "True" else str(phase)


def _one_line(message: str) -> str:
    return " ".join(message[:_LONGEST_WORD].split())


def snake_case(reason: str) -> str:
    """A condition's CamelCase reason as an OpenAI error code."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", reason).lower()


def _start_failed(deployment: ModelDeployment, now: datetime) -> StartFailedError:
    status = deployment.status
    stalled = condition_of(status.conditions, ConditionType.STALLED)
    reason = stalled.reason if stalled else "Stalled"
    message = stalled.message if stalled else ""
    retry_at = status.last_failure.retry_at if status.last_failure else None
    return StartFailedError(
        f"{deployment.spec.model} cannot start: {reason}{': ' if message else ''}{message}",
        code=snake_case(reason),
        retry_after=(retry_at - now).total_seconds() if retry_at else 30,
    )


def _ttl(ask: Ask, deployment: ModelDeployment) -> int:
    return deployment.spec.idle.ttl_seconds if ask.ttl is None else ask.ttl


async def _wait(event: asyncio.Event, deadline: float) -> bool:
    """Whether the event was set by `deadline` on the monotonic clock."""
    try:
        await asyncio.wait_for(event.wait(), deadline - time.monotonic())
    except TimeoutError:
        return False
    return True
