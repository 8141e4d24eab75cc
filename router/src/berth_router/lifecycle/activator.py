"""From a request to a deployment that is ready for it:
created once, held for, and released on ready, failed or deadline.
"""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, Phase
from berth_cluster.cluster import Cluster, ClusterError
from berth_process.clock import Clock, utc_now
from berth_router.errors import APIError, DeadlineError, StartFailedError, UnavailableError
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments, is_ready
from berth_router.lifecycle.fate import Fate, fate_between
from berth_router.lifecycle.lease_keeper import Claim, DeploymentGoneError, Leases
from berth_router.lifecycle.resolve import Create, Policy, Refuse, match, resolve
from berth_router.lifecycle.waiting import set_by
from berth_router.metrics import Metrics
from berth_router.request.ask import Ask
from berth_router.stats import Stats
from berth_router.store.model_store import ModelLookup, ModelStore

Progress = Callable[[str], Awaitable[None]]
"""Told in a few words what a held request waits for, at every change and now and then without one."""

PROGRESS_SECONDS = 5.0
"""Longest silence between two words of progress: below the idle time-out of any proxy in between."""

_LONGEST_WORD = 200
"""Characters of a word of progress that are passed on."""

_MOST_CHOSEN = 4096

_MAX_ATTEMPTS = 8
"""How often one request may find its deployment gone before it gives up."""


class Activator:
    """Makes models ready for requests."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        deployments: Deployments,
        store: ModelStore,
        leases: Leases,
        policy: Policy,
        metrics: Metrics,
        stats: Stats,
        deadline_seconds: float,
        clock: Clock = utc_now,
    ) -> None:
        self._deployments = deployments
        self._store = store
        self._leases = leases
        self._creator = Creator(cluster, deployments)
        self._policy = policy
        self._metrics = metrics
        self._stats = stats
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._chosen: dict[int, tuple[Ask, int, ModelDeployment]] = {}
        """By the identity of an Ask:
        that itself, at how many changes of the view it was looked at, and what was ready for it.
        """

    def deadline(self) -> float:
        """The moment, on the monotonic clock, until which a request that comes now is held."""
        return time.monotonic() + self._deadline_seconds

    async def activate(
        self, ask: Ask, deadline: float, progress: Progress | None = None, *, again: bool = False
    ) -> Claim:
        """A ready deployment for the request, protected from idleness; at once where one is ready.

        `progress` is called only once the request is held. `again`: the request has been counted. Raises APIError.
        """
        claim = None if again else self.claim_ready(ask)
        if claim:
            return claim
        ready = self._ready(ask)
        if not again:
            self._stats.count(hit=ready is not None)
        # It may be ready and lack no more than the lease of this router: that is no start, and a matter of one write.
        claim = await self._held(ready, _ttl(ask, ready), deadline, None) if ready else None
        return claim or await self._activate_cold(ask, deadline, progress)

    def claim_ready(self, ask: Ask) -> Claim | None:
        """A ready deployment for the request that it may use at once; None, and nothing counted, where it has to wait."""
        ready = self._ready(ask)
        claim = self._leases.claim_now(ready, _ttl(ask, ready)) if ready else None
        if claim:
            self._stats.count(hit=True)
        return claim

    def _ready(self, ask: Ask) -> ModelDeployment | None:
        """A deployment for the request that is ready and takes requests."""
        # Nearly every request asks for what the one before has asked for, and the parser then gives the same Ask.
        chosen = self._chosen.get(id(ask))
        changes = self._deployments.changes
        if chosen and chosen[0] is ask and chosen[1] == changes:
            return chosen[2]
        ready = match(ask, self._deployments.of_model(ask.model))
        if (
            not ready
            or not is_ready(ready)
            or self._deployments.is_closed(ready)
            or self._deployments.is_evicting(ready)
        ):
            return None
        if len(self._chosen) >= _MOST_CHOSEN:
            self._chosen.clear()
        self._chosen[id(ask)] = (ask, changes, ready)
        return ready

    def release(self, claim: Claim) -> None:
        """Ends the keeping of a deployment for a request."""
        self._leases.release(claim)

    async def fate_of(self, deployment: ModelDeployment, within: float) -> Fate | None:
        """What became of the deployment's engine, as soon as the operator has found out; None where it has not `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            change = self._deployments.change(deployment.name)
            fate = fate_between(deployment, self._deployments.get(deployment.name))
            if fate or not await set_by(change, deadline):
                return fate

    async def await_change(self, deployment: ModelDeployment, within: float) -> None:
        """Returns when the view has another version of the deployment than this, or after `within` seconds."""
        change = self._deployments.change(deployment.name)
        now = self._deployments.get(deployment.name)
        if now and now.resource_version == deployment.resource_version:
            await set_by(change, time.monotonic() + within)

    async def _activate_cold(self, ask: Ask, deadline: float, progress: Progress | None) -> Claim:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            claim = await self._attempts(ask, deadline, progress)
            outcome = "ready"
        except APIError as error:
            outcome = error.code or "error"
            raise
        else:
            return claim
        finally:
            self._metrics.held(outcome, time.monotonic() - started)

    async def _attempts(self, ask: Ask, deadline: float, progress: Progress | None) -> Claim:
        await self._synced(deadline)
        for _ in range(_MAX_ATTEMPTS):
            deployment = await self._find_or_create(ask, deadline)
            if deployment is None:
                continue
            if self._deployments.is_evicting(deployment):
                await self._until_not_evicting(deployment, deadline, progress)
            elif claim := await self._held(deployment, _ttl(ask, deployment), deadline, progress):
                return claim
        raise UnavailableError(
            f"{ask.model} was unloaded again and again while this request waited for it.",
            code="model_unloaded",
            retry_after=5,
        )

    async def _held(
        self, deployment: ModelDeployment, ttl: int, deadline: float, progress: Progress | None
    ) -> Claim | None:
        """The deployment, ready and leased; None where it is worth looking again. Raises APIError."""
        if self._deployments.is_closed(deployment):
            raise _unloading(deployment)
        claim = self._leases.claim(deployment, ttl)
        leased = False
        try:
            leased = await self._until_ready(claim, deadline, progress) and await self._leased(claim)
        except DeploymentGoneError:
            pass
        finally:
            if not leased:
                # What is refused because of an unload must not undo it.
                self._leases.release(claim, promises=not self._deployments.is_closed(deployment))
        return claim if leased else None

    async def _leased(self, claim: Claim) -> bool:
        """Whether the request may be passed on now. Raises APIError, DeploymentGoneError."""
        deployment = claim.deployment
        try:
            leased = await self._leases.ensure_lease(claim)
        except ClusterError as error:
            raise _no_lease(
                deployment, "is ready, but the cluster does not take the lease that keeps it so", error
            ) from error
        # Writing a lease takes a moment, and may itself have brought news.
        now = self._deployments.get(deployment.name)
        if not leased or (now and self._deployments.is_closed(now)):
            raise _unloading(deployment)
        if now is None or now.uid != deployment.uid or not is_ready(now) or self._deployments.is_evicting(now):
            return False
        claim.deployment = now
        return True

    async def _synced(self, deadline: float) -> None:
        """Waits for the first snapshot: before it, a deployment that is live would be taken for one to create."""
        if not self._deployments.synced.is_set() and not await set_by(
            self._deployments.synced, min(deadline, time.monotonic() + 30)
        ):
            raise UnavailableError("The router has not yet heard from the cluster.", code="cluster_unavailable")

    async def _find_or_create(self, ask: Ask, deadline: float) -> ModelDeployment | None:
        """The deployment for the request; None where it is worth looking again. Raises APIError."""
        decision = resolve(ask, self._deployments.all(), ModelLookup(exists=True), self._policy)
        if isinstance(decision, (Create, Refuse)) or decision.deployment.status.phase is Phase.STALLED:
            # What is to be created depends on the model's files. Looking takes a moment, in which another request may
            # have created it.
            lookup = await self._store.lookup(ask.model)
            decision = resolve(ask, self._deployments.all(), lookup, self._policy)
        if isinstance(decision, Refuse):
            raise decision.error
        if not isinstance(decision, Create):
            return decision.deployment
        await self._creator.create(decision, deadline)
        return match(ask, self._deployments.of_model(ask.model))

    async def _until_not_evicting(
        self, deployment: ModelDeployment, deadline: float, progress: Progress | None
    ) -> None:
        """Returns when a held deployment is gone or no longer held. The request is not counted as its use meanwhile.

        Raises APIError.
        """
        while True:
            change = self._deployments.change(deployment.name)
            if not self._deployments.is_evicting(deployment):
                return
            if progress:
                await progress("waiting for memory")
            if (
                not await set_by(change, min(deadline, time.monotonic() + PROGRESS_SECONDS))
                and time.monotonic() >= deadline
            ):
                raise DeadlineError(
                    f"{deployment.spec.model} gives its memory to another model and was not ready within {self._deadline_seconds:g} s.",
                    code="deadline_exceeded",
                    retry_after=10,
                )

    async def _until_ready(self, claim: Claim, deadline: float, progress: Progress | None) -> bool:
        """Whether the deployment is ready, as the claim then shows it; False when it is gone.

        Raises APIError, DeploymentGoneError.
        """
        name, uid = claim.deployment.name, claim.deployment.uid
        woken = False
        changed = False
        told: str | None = None
        while True:
            change = self._deployments.change(name)
            now = self._deployments.get(name)
            if now is None or now.uid != uid or now.deleting:
                return False
            if self._deployments.is_closed(now):
                raise _unloading(now)
            if is_ready(now):
                claim.deployment = now
                return True
            if now.status.phase is Phase.STALLED:
                raise _start_failed(now, self._clock())
            if now.status.phase is Phase.SLEEPING and not woken:
                await self._wake(claim)
            woken = now.status.phase is Phase.SLEEPING
            if progress and (not changed or waiting_for(now) != told):
                told = waiting_for(now)
                await progress(told)
            changed = await set_by(change, min(deadline, time.monotonic() + PROGRESS_SECONDS) if progress else deadline)
            if not changed and time.monotonic() >= deadline:
                raise DeadlineError(
                    f"{now.spec.model} was not ready within {self._deadline_seconds:g} s; its start goes on. It is {waiting_for(now)}.",
                    code="deadline_exceeded",
                    retry_after=10,
                )

    async def _wake(self, claim: Claim) -> None:
        """Tells the operator that the sleeping deployment is wanted: by a lease."""
        try:
            await self._leases.ensure_lease(claim)
        except ClusterError as error:
            raise _no_lease(claim.deployment, "sleeps and cannot be woken now", error) from error


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


def _unloading(deployment: ModelDeployment) -> UnavailableError:
    return UnavailableError(f"{deployment.spec.model} is being unloaded.", code="model_unloaded", retry_after=2)


def _no_lease(deployment: ModelDeployment, what: str, error: ClusterError) -> UnavailableError:
    return UnavailableError(f"{deployment.spec.model} {what}: {error}", code="cluster_unavailable")
