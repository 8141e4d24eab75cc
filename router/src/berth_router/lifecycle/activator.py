"""From a request to a claim on a ready deployment. The request is queued until it is ready, failed or out of time."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import ModelDeployment, Phase
from berth_cluster.cluster import ClusterError
from berth_process.clock import Clock, utc_now
from berth_router.errors import APIError, DeadlineError, ServiceUnavailableError, StartFailedError
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments, Fate, fate_between, is_ready, wait_until
from berth_router.lifecycle.lease_keeper import Claim, DeploymentGoneError, Leases
from berth_router.lifecycle.resolve import Candidates
from berth_router.metrics import Metrics
from berth_router.request.ask import Ask
from berth_router.stats import Stats

ProgressListener = Callable[[str], Awaitable[None]]
"""Called with what a queued request waits for, in a few words: at each change, and every PROGRESS_SECONDS."""

PROGRESS_SECONDS = 5.0
"""Longest silence between two progress texts: below the idle time-out of any proxy in between."""

TokenCount = Callable[[], int]
"""About how many tokens of context a request takes. It is asked only where several deployments could answer."""

_LONGEST_MESSAGE = 200
"""Characters of the operator's message in a progress text."""

_MOST_CHOICES = 4096

_MOST_TRIES = 8
"""How often one request may find its deployment gone before it gives up."""


def _no_tokens() -> int:
    return 0


class Activator:
    """Makes models ready for requests."""

    def __init__(
        self,
        *,
        deployments: Deployments,
        leases: Leases,
        creator: Creator,
        metrics: Metrics,
        stats: Stats,
        deadline_seconds: float,
        clock: Clock = utc_now,
    ) -> None:
        self._deployments = deployments
        self._leases = leases
        self._creator = creator
        self._metrics = metrics
        self._stats = stats
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._choices: dict[int, tuple[Ask, int, Candidates, ModelDeployment | None]] = {}
        """By the id of an Ask: the Ask, the number of the view's changes, and what could answer it then.

        Last the one that is ready for it, whatever it takes; None where there is none, or a choice.
        """

    async def known(self, ask: Ask) -> Ask:
        """The request, or what it asks otherwise where there is no such model. Raises APIError."""
        return await self._creator.known(ask)

    def deadline(self) -> float:
        """The moment, on the monotonic clock, until which a request that comes now is queued."""
        return time.monotonic() + self._deadline_seconds

    async def activate(
        self,
        ask: Ask,
        deadline: float,
        progress: ProgressListener | None = None,
        *,
        again: bool = False,
        tokens: TokenCount = _no_tokens,
    ) -> Claim:
        """A claim on a ready deployment; at once where one is ready.

        `progress` is called only while the request is queued. `again`: the request was counted before. Raises
        APIError.
        """
        claim = None if again else self.claim_ready(ask, tokens)
        if claim:
            return claim
        ready = self._ready(ask, tokens)
        if not again:
            self._stats.count(hit=ready is not None)
        # Where it is ready and only this router's lease is missing, one write is enough: that is no start.
        claim = await self._claim_when_ready(ready, _ttl(ask, ready), deadline, None) if ready else None
        return claim or await self._activate_cold(ask, deadline, progress, tokens())

    def claim_ready(self, ask: Ask, tokens: TokenCount = _no_tokens) -> Claim | None:
        """A claim on a deployment that is ready now. None, and nothing is counted: the request has to wait."""
        ready = self._ready(ask, tokens)
        claim = self._leases.claim_now(ready, _ttl(ask, ready)) if ready else None
        if claim:
            self._stats.count(hit=True)
        return claim

    def _ready(self, ask: Ask, tokens: TokenCount) -> ModelDeployment | None:
        """The deployment for the request, if it is ready and takes claims."""
        # Nearly every request asks what the one before has asked. Then the parser returns the same Ask.
        choice = self._choices.get(id(ask))
        changes = self._deployments.changes
        if choice and (choice[0] is not ask or choice[1] != changes):
            choice = None
        if choice and choice[3]:
            return choice[3]
        candidates = choice[2] if choice else Candidates(ask, self._deployments.of_model(ask.model))
        ready = candidates.best_for(tokens())
        if (
            not ready
            or not is_ready(ready)
            or self._deployments.is_closed(ready)
            or self._deployments.is_evicting(ready)
        ):
            return None
        if len(self._choices) >= _MOST_CHOICES:
            self._choices.clear()
        self._choices[id(ask)] = (ask, changes, candidates, None if candidates.several else ready)
        return ready

    def release(self, claim: Claim) -> None:
        """Ends a claim."""
        self._leases.release(claim)

    async def fate_of(self, deployment: ModelDeployment, within: float) -> Fate | None:
        """What became of the deployment's engine, once the operator reports it. None: not `within` seconds."""
        deadline = time.monotonic() + within
        while True:
            change = self._deployments.change(deployment.name)
            fate = fate_between(deployment, self._deployments.get(deployment.name))
            if fate or not await wait_until(change, deadline):
                return fate

    async def await_change(self, deployment: ModelDeployment, within: float) -> None:
        """Returns when the view has a later version of the deployment, or after `within` seconds."""
        change = self._deployments.change(deployment.name)
        now = self._deployments.get(deployment.name)
        if now and now.resource_version == deployment.resource_version:
            await wait_until(change, time.monotonic() + within)

    async def _activate_cold(self, ask: Ask, deadline: float, progress: ProgressListener | None, tokens: int) -> Claim:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            claim = await self._claim_cold(ask, deadline, progress, tokens)
            outcome = "ready"
        except APIError as error:
            outcome = error.code or "error"
            raise
        else:
            return claim
        finally:
            self._metrics.count_queued(outcome, time.monotonic() - started)

    async def _claim_cold(self, ask: Ask, deadline: float, progress: ProgressListener | None, tokens: int) -> Claim:
        await self._synced(deadline)
        for _ in range(_MOST_TRIES):
            deployment = await self._creator.find_or_create(ask, deadline, tokens)
            if deployment is None:
                continue
            if self._deployments.is_evicting(deployment):
                await self._until_evicted(deployment, deadline, progress)
            elif claim := await self._claim_when_ready(deployment, _ttl(ask, deployment), deadline, progress):
                return claim
        raise ServiceUnavailableError(
            f"{ask.model} was unloaded again and again while this request waited for it.",
            code="model_unloaded",
            retry_after=5,
        )

    async def _claim_when_ready(
        self, deployment: ModelDeployment, ttl: int, deadline: float, progress: ProgressListener | None
    ) -> Claim | None:
        """A claim under a lease, once the deployment is ready. None: look for a deployment again. Raises APIError."""
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
                # A request that an unload refuses makes no promise, which would undo the unload.
                self._leases.release(claim, promises=not self._is_shut(deployment))
        return claim if leased else None

    async def _leased(self, claim: Claim) -> bool:
        """Whether the request can be passed on now, under a lease. Raises APIError, DeploymentGoneError."""
        deployment = claim.deployment
        try:
            leased = await self._leases.ensure_lease(claim)
        except ClusterError as error:
            raise _no_lease(
                deployment, "is ready, but the cluster does not take the lease that keeps it so", error
            ) from error
        # Writing a lease takes a moment. The deployment may have changed meanwhile.
        now = self._deployments.get(deployment.name)
        if self._deployments.is_closed(deployment):
            raise _unloading(deployment)
        if not leased or now is None or now.uid != deployment.uid or not is_ready(now) or self._is_shut(now):
            return False
        claim.deployment = now
        return True

    async def _synced(self, deadline: float) -> None:
        """Waits for the first snapshot. Before that, every live deployment would look like one to create."""
        if not self._deployments.synced.is_set() and not await wait_until(
            self._deployments.synced, min(deadline, time.monotonic() + 30)
        ):
            raise ServiceUnavailableError("The router has not yet heard from the cluster.", code="cluster_unavailable")

    def _is_shut(self, deployment: ModelDeployment) -> bool:
        return self._deployments.is_closed(deployment) or self._deployments.is_evicting(deployment)

    async def _until_evicted(
        self, deployment: ModelDeployment, deadline: float, progress: ProgressListener | None
    ) -> None:
        """Returns when the deployment has made room, or stays after all. The request has no claim on it meanwhile.

        Raises APIError.
        """
        while True:
            change = self._deployments.change(deployment.name)
            if not self._deployments.is_evicting(deployment):
                return
            if progress:
                await progress("waiting: another model gets the room first")
            if (
                not await wait_until(change, min(deadline, time.monotonic() + PROGRESS_SECONDS))
                and time.monotonic() >= deadline
            ):
                raise DeadlineError(
                    f"{deployment.spec.model} gives its memory to another model and was not ready within"
                    f" {self._deadline_seconds:g} s.",
                    code="deadline_exceeded",
                    retry_after=10,
                )

    async def _until_ready(self, claim: Claim, deadline: float, progress: ProgressListener | None) -> bool:
        """Waits until the deployment is ready, and puts its ready version into the claim. False: it is gone.

        Raises APIError, DeploymentGoneError.
        """
        name, uid = claim.deployment.name, claim.deployment.uid
        woken = False
        changed = False
        reported: str | None = None
        while True:
            change = self._deployments.change(name)
            now = self._deployments.get(name)
            if now is None or now.uid != uid or now.deleting:
                return False
            if self._deployments.is_closed(now):
                raise _unloading(now)
            if self._deployments.is_evicting(now):
                return False
            if is_ready(now):
                claim.deployment = now
                return True
            dormant = now.status.phase is Phase.SLEEPING or _is_to_be_retried(now, self._clock())
            if now.status.phase is Phase.STALLED and not dormant and not _waits_for_room(now):
                raise _start_failed(now, self._clock())
            if dormant and not woken:
                await self._wake(claim)
            woken = dormant
            if progress and (not changed or start_progress(now) != reported):
                reported = start_progress(now)
                await progress(reported)
            changed = await wait_until(
                change, min(deadline, time.monotonic() + PROGRESS_SECONDS) if progress else deadline
            )
            if not changed and time.monotonic() >= deadline:
                raise DeadlineError(
                    f"{now.spec.model} was not ready within {self._deadline_seconds:g} s; its start goes on."
                    f" It is {start_progress(now)}.",
                    code="deadline_exceeded",
                    retry_after=_seconds_to_room(now, self._clock()) or 10,
                )

    async def _wake(self, claim: Claim) -> None:
        """Wakes a deployment that is asleep or has failed: the operator starts it when it sees the lease."""
        try:
            await self._leases.ensure_lease(claim)
        except ClusterError as error:
            raise _no_lease(claim.deployment, "cannot be woken now", error) from error


def start_progress(deployment: ModelDeployment) -> str:
    """How far a start is, in a few words: the phase, and what the operator reports of it."""
    phase = deployment.status.phase or Phase.PENDING
    kind = ConditionType.STALLED if phase is Phase.STALLED else ConditionType.RECONCILING
    told = condition_of(deployment.status.conditions, kind)
    return f"{phase}: {_one_line(told.message)}" if told and told.status == "True" else str(phase)


def _waits_for_room(deployment: ModelDeployment) -> bool:
    """Whether no node has room for its pod now: others make room, or a node comes, while requests wait."""
    return deployment.status.queue is not None


def _is_to_be_retried(deployment: ModelDeployment, now: datetime) -> bool:
    """Whether its start has failed, and is tried again as soon as somebody asks for it."""
    status = deployment.status
    failure, stalled = status.last_failure, condition_of(status.conditions, ConditionType.STALLED)
    if status.phase is not Phase.STALLED or failure is None or failure.retry_at is None or failure.retry_at > now:
        return False
    # Something else may hold it up meanwhile, which a request does not change.
    return status.pod_name is None and stalled is not None and stalled.reason == failure.reason


def _seconds_to_room(deployment: ModelDeployment, now: datetime) -> float | None:
    """In how many seconds there is room for a deployment that waits for it; None where that is not known."""
    queue = deployment.status.queue
    return max((queue.expected_at - now).total_seconds(), 1) if queue and queue.expected_at else None


def _one_line(message: str) -> str:
    return " ".join(message[:_LONGEST_MESSAGE].split())


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


def _unloading(deployment: ModelDeployment) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"{deployment.spec.model} is being unloaded.", code="model_unloaded", retry_after=2)


def _no_lease(deployment: ModelDeployment, what: str, error: ClusterError) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"{deployment.spec.model} {what}: {error}", code="cluster_unavailable")
