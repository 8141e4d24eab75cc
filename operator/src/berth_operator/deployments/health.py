"""Whether an engine that was ready still serves: pure, from what it answers and from what the kubelet says of its pod.

An engine is busy, or it hangs; from outside both are silent. A connection that is accepted says nothing: the kernel
does that for a process that is stopped. So only time tells them apart. Engines answer the question for their health at
once, however many requests they compute (`PROBE_TIMEOUT_SECONDS` says more). One that leaves a question unanswered gets
no new requests until it answers again, which costs nobody's stream. One that answers none of the questions of a whole
`hangDeadline` hangs. Where a kubelet goes on saying that the pod is ready, the engine does answer, and something lies
between it and the operator: then nothing is killed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object
from berth_operator.deployments.failure import PodFailure
from berth_operator.deployments.parts import changed_at, condition, holds, status_of
from berth_operator.settings import Timing

ENGINE_HUNG = "EngineHung"
NODE_LOST = "NodeLost"


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a running engine from asking it."""

    pod: str
    """uid of its pod."""
    asked_since: datetime
    """When it was first asked, by this operator."""
    answered_at: datetime | None = None
    """Its last answer; None where it has given none."""
    silence: str | None = None
    """What came instead of an answer since then; None where nothing was missed."""
    silent_from: datetime | None = None
    """When the silence began, where that is not at the last answer: nobody asked for a while, as on a machine that was
    asleep."""

    def with_answer(self, now: datetime) -> "Sight":
        """After an answer."""
        return replace(self, answered_at=now, silence=None, silent_from=None)

    def without_answer(self, words: str, silent_from: datetime) -> "Sight":
        """After a question without an answer. The first one's words stay, so that what people read does.

        `silent_from`: the silence did not begin before this moment, where this is its first question.
        """
        if self.silence:
            return self
        return replace(self, silence=words, silent_from=max(self.answered_at or self.asked_since, silent_from))

    @property
    def silent_since(self) -> datetime | None:
        """When the present silence began; None where the last question was answered, or none was asked."""
        return (self.silent_from or self.answered_at or self.asked_since) if self.silence else None


@dataclass(frozen=True, slots=True)
class Healthy:
    """The engine serves, or nothing else is known."""

    look_at: datetime | None = None
    """When that will have changed if nothing is heard."""


@dataclass(frozen=True, slots=True)
class Unresponsive:
    """The engine gets no new requests now."""

    why: str | None
    """In words for people. None: as was said before; nothing has been heard since."""
    look_at: datetime | None = None
    """When it will count as hanging if nothing is heard."""


@dataclass(frozen=True, slots=True)
class Hung:
    """The engine is beyond hope."""

    failure: PodFailure


Health = Healthy | Unresponsive | Hung


def engine_health(
    pod: Object, sight: Sight | None, ready_since: datetime, timing: Timing, now: datetime, *, was_unresponsive: bool
) -> Health:
    """How an engine is that was ready.

    `sight`: what is known of this pod's engine from asking; None where it was not asked yet. `ready_since`: when it
    became ready. An operator that has just begun has heard nothing: `was_unresponsive` is what the one before it had
    found.
    """
    patience, deadline = timedelta(seconds=timing.unresponsive_after), timedelta(seconds=timing.hang_deadline)
    silent_since = sight.silent_since if sight else None
    not_ready_since = _not_ready_since(pod, ready_since)
    hangs_at = silent_since + deadline if silent_since and not _kubelet_hears(pod) else None
    if hangs_at and hangs_at <= now:
        return Hung(_hung(pod, silent_since or now, sight.silence if sight else None, timing))
    if silent_since and sight and silent_since + patience <= now:
        return Unresponsive(
            f"the engine has not answered since {format_timestamp(silent_since)}: {sight.silence}", hangs_at
        )
    if not_ready_since and not_ready_since + patience <= now:
        return Unresponsive(_not_ready(pod, not_ready_since), hangs_at)
    if was_unresponsive and not (sight and sight.answered_at and not sight.silence):
        return Unresponsive(None, hangs_at)
    unheard_since = now if sight is None else None if sight.answered_at else sight.asked_since
    doubts = [moment + patience for moment in (silent_since, not_ready_since, unheard_since) if moment]
    return Healthy(min(doubts, default=None))


def _not_ready_since(pod: Object, ready_since: datetime) -> datetime | None:
    """Since when the pod's own condition says that it is not ready; None where it does not.

    A kubelet asks for the first time only after the operator has heard the engine: what it said before does not count.
    """
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] == "True":
        return None
    return max(changed_at(ready) or ready_since, ready_since)


def _kubelet_hears(pod: Object) -> bool:
    """Whether a kubelet says that the engine answers. On one machine there is none, which says nothing."""
    return holds(pod, "Ready")


def _not_ready(pod: Object, moment: datetime) -> str:
    ready: dict[str, Any] = condition(pod, "Ready") or {}
    words = ": ".join(part for part in (ready.get("reason"), ready.get("message")) if part)
    return f"its pod is not ready since {format_timestamp(moment)}{f', {words}' if words else ''}"


def _hung(pod: Object, silent_since: datetime, silence: str | None, timing: Timing) -> PodFailure:
    told = (
        f"the engine gave no answer for {timing.hang_deadline:.0f} s, since {format_timestamp(silent_since)}: {silence}"
    )
    if _is_node_lost(pod):
        return PodFailure(
            NODE_LOST, f"the node {pod['spec'].get('nodeName')} is not heard any more; {told}", ended=True
        )
    return PodFailure(ENGINE_HUNG, told, ended=True)


def _is_node_lost(pod: Object) -> bool:
    """Whether it is the node that is gone.

    Then the node controller says that the pod is not ready, while the kubelet's own last word, that its containers are,
    stands.
    """
    if status_of(pod).get("reason") == NODE_LOST:
        return True
    return condition(pod, "Ready") is not None and not holds(pod, "Ready") and holds(pod, "ContainersReady")
