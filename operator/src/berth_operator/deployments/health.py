"""Whether an engine that was ready still serves: pure, from its answers to probes and from the kubelet's word.

A busy engine and one that hangs are both silent. That a connection is accepted means nothing: the kernel accepts it for
a stopped process too. So only time tells them apart. Engines answer a probe at once, however many requests they compute
(see `PROBE_TIMEOUT_SECONDS`). An engine that does not answer a probe gets no new requests until it answers again; no
stream is cut by that. An engine that answers no probe for a whole `hangDeadline` hangs. Where the kubelet still says
that the pod is ready, the engine does answer, and the fault is between it and the operator: then nothing is killed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object
from berth_operator.engines.context import EngineContext
from berth_operator.objects.parts import changed_at, condition, is_true, status_of
from berth_operator.objects.pod_failure import Cause
from berth_operator.settings import Timing

ENGINE_HUNG = "EngineHung"
NODE_LOST = "NodeLost"


@dataclass(frozen=True, slots=True)
class ProbeHistory:
    """What the probes of a running engine have found."""

    pod: str
    """uid of its pod."""
    asked_since: datetime
    """When this operator probed it for the first time."""
    answered_at: datetime | None = None
    """Its last answer; None where it has given none."""
    silence: str | None = None
    """What came instead of an answer since then; None where nothing was missed."""
    silent_from: datetime | None = None
    """When the silence began, where that is later than the last answer: nobody probed for a while, as on a machine
    that was asleep."""
    context: EngineContext | None = None
    """The context that it has; None where it has not been asked, or did not answer that."""

    def with_answer(self, now: datetime) -> "ProbeHistory":
        """The history after a probe that was answered."""
        return replace(self, answered_at=now, silence=None, silent_from=None)

    def without_answer(self, fault: str, silent_from: datetime) -> "ProbeHistory":
        """The history after a probe without an answer. The first fault stays, so that the status does not change.

        `silent_from`: a silence that begins with this probe did not begin before this moment.
        """
        if self.silence:
            return self
        return replace(self, silence=fault, silent_from=max(self.answered_at or self.asked_since, silent_from))

    @property
    def silent_since(self) -> datetime | None:
        """When the present silence began; None where the last probe was answered, or there was none."""
        return (self.silent_from or self.answered_at or self.asked_since) if self.silence else None


@dataclass(frozen=True, slots=True)
class Healthy:
    """The engine serves, as far as is known."""

    look_at: datetime | None = None
    """When it will be unresponsive if no answer comes."""


@dataclass(frozen=True, slots=True)
class Unresponsive:
    """The engine gets no new requests now."""

    why: str | None
    """In words for people. None: the reason is as before, and no answer has come since."""
    look_at: datetime | None = None
    """When it will count as hanging if no answer comes."""


@dataclass(frozen=True, slots=True)
class Hung:
    """The engine hangs, and must be replaced."""

    failure: Cause


Health = Healthy | Unresponsive | Hung


def engine_health(
    pod: Object,
    probes: ProbeHistory | None,
    ready_since: datetime,
    timing: Timing,
    now: datetime,
    *,
    was_unresponsive: bool,
) -> Health:
    """The health of an engine that was ready.

    `probes`: what the probes of this pod's engine have found; None where there was none yet. `ready_since`: when it
    became ready. `was_unresponsive`: what the status says, since an operator that has just started has no answers yet.
    """
    patience, deadline = timedelta(seconds=timing.unresponsive_after), timedelta(seconds=timing.hang_deadline)
    silent_since = probes.silent_since if probes else None
    not_ready_since = _not_ready_since(pod, ready_since)
    # A kubelet that says Ready gets answers. On one machine there is no kubelet, and no such condition.
    hangs_at = silent_since + deadline if silent_since and not is_true(pod, "Ready") else None
    if hangs_at and hangs_at <= now:
        return Hung(_hung(pod, silent_since or now, probes.silence if probes else None, timing))
    if silent_since and probes and silent_since + patience <= now:
        return Unresponsive(
            f"the engine has not answered since {format_timestamp(silent_since)}: {probes.silence}", hangs_at
        )
    if not_ready_since and not_ready_since + patience <= now:
        return Unresponsive(_not_ready(pod, not_ready_since), hangs_at)
    if was_unresponsive and not (probes and probes.answered_at and not probes.silence):
        return Unresponsive(None, hangs_at)
    unanswered_since = now if probes is None else None if probes.answered_at else probes.asked_since
    doubts = [moment + patience for moment in (silent_since, not_ready_since, unanswered_since) if moment]
    return Healthy(min(doubts, default=None))


def _not_ready_since(pod: Object, ready_since: datetime) -> datetime | None:
    """Since when the pod's condition says that it is not ready; None where it does not say so.

    What the condition said before the engine became ready does not count: the kubelet probes later than the operator.
    """
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] == "True":
        return None
    return max(changed_at(ready) or ready_since, ready_since)


def _not_ready(pod: Object, moment: datetime) -> str:
    ready: dict[str, Any] = condition(pod, "Ready") or {}
    words = ": ".join(part for part in (ready.get("reason"), ready.get("message")) if part)
    return f"its pod is not ready since {format_timestamp(moment)}{f', {words}' if words else ''}"


def _hung(pod: Object, silent_since: datetime, silence: str | None, timing: Timing) -> Cause:
    message = (
        f"the engine gave no answer for {timing.hang_deadline:.0f} s, since {format_timestamp(silent_since)}: {silence}"
    )
    if _is_node_lost(pod):
        return Cause(NODE_LOST, f"the node {pod['spec'].get('nodeName')} is not heard any more; {message}", ended=True)
    return Cause(ENGINE_HUNG, message, ended=True)


def _is_node_lost(pod: Object) -> bool:
    """Whether the whole node is gone.

    Then the node controller has said that the pod is not ready, while the kubelet's last word, that the containers are
    ready, still stands.
    """
    if status_of(pod).get("reason") == NODE_LOST:
        return True
    return condition(pod, "Ready") is not None and not is_true(pod, "Ready") and is_true(pod, "ContainersReady")
