"""The steps of a start and the arithmetic over them: pure.

A run is known by its moments: when each step was first seen, in seconds on the benchmark's own monotonic clock.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Kind, Object


class Step(StrEnum):
    """What happens in a start, in this order."""

    REQUESTED = "requested"
    """Through Berth: the chat request is about to be sent. By hand: the pod is about to be created."""
    RESOURCE_CREATED = "resource created"
    POD_CREATED = "pod created"
    POD_SCHEDULED = "pod scheduled"
    CONTAINER_STARTED = "container started"
    """The kubelet reports the container as running, and the pod's address."""
    ENGINE_READY = "engine ready"
    READY_SEEN = "ready seen"
    """The resource says that the model is ready."""
    ASKED = "asked"
    """By hand only: the chat request is about to be sent to the engine."""
    FIRST_TOKEN = "first token"  # noqa: S105 (a piece of text, not a secret)


Moments = Mapping[Step, float]

BERTH_STEPS = (
    Step.REQUESTED,
    Step.RESOURCE_CREATED,
    Step.POD_CREATED,
    Step.POD_SCHEDULED,
    Step.CONTAINER_STARTED,
    Step.ENGINE_READY,
    Step.READY_SEEN,
    Step.FIRST_TOKEN,
)
HAND_STEPS = (
    Step.REQUESTED,
    Step.POD_CREATED,
    Step.POD_SCHEDULED,
    Step.CONTAINER_STARTED,
    Step.ENGINE_READY,
    Step.ASKED,
    Step.FIRST_TOKEN,
)
CLUSTER_STEPS = (Step.RESOURCE_CREATED, Step.POD_CREATED, Step.POD_SCHEDULED, Step.CONTAINER_STARTED, Step.READY_SEEN)
"""The steps that the cluster's objects show."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object as the watch showed it, and the moment of that."""

    at: float
    kind: Kind
    object: Object


def moments_in_cluster(sightings: Iterable[Sighting], *, is_engine: Callable[[Object], bool]) -> dict[Step, float]:
    """When the cluster first showed each step. `is_engine`: which pods count."""
    moments: dict[Step, float] = {}
    for sighting in sightings:
        if sighting.kind == MODEL_DEPLOYMENTS:
            shown = _shown_by_deployment(sighting.object)
        elif sighting.kind == PODS and is_engine(sighting.object):
            shown = _shown_by_pod(sighting.object)
        else:
            continue
        for step in shown:
            moments.setdefault(step, sighting.at)
    return moments


def pod_address(pod: Object) -> str | None:
    """The pod's IP address, once it is known."""
    return pod.get("status", {}).get("podIP")


@dataclass(frozen=True, slots=True)
class StartPair:
    """Two runs, one right after the other."""

    through_berth: Moments
    by_hand: Moments


@dataclass(frozen=True, slots=True)
class StartShare:
    """Berth's own share of one run, in seconds. `benchmarks.cold_start` says why it is counted so."""

    before_start: float
    """From the request to a pod that has a node."""
    after_ready: float
    """From an engine that is ready to the first token, less what the engine alone takes for it."""

    @property
    def whole(self) -> float:
        """Both parts."""
        return self.before_start + self.after_ready


def berth_share(pair: StartPair) -> StartShare:
    """Berth's own share of the pair's run through Berth."""
    berth, hand = pair.through_berth, pair.by_hand
    engine = hand[Step.FIRST_TOKEN] - hand[Step.ASKED]
    return StartShare(
        before_start=berth[Step.POD_SCHEDULED] - berth[Step.REQUESTED],
        after_ready=berth[Step.FIRST_TOKEN] - berth[Step.ENGINE_READY] - engine,
    )


def whole(moments: Moments) -> float:
    """Seconds of a run, from its beginning to the first token."""
    return moments[Step.FIRST_TOKEN] - moments[Step.REQUESTED]


def since_previous(moments: Moments, steps: Sequence[Step]) -> dict[Step, float]:
    """Seconds that each step but the first took after the one before it."""
    return {step: moments[step] - moments[before] for before, step in pairwise(steps)}


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie (1 to 99), interpolated between the two nearest.

    Needs at least one value.
    """
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _shown_by_deployment(deployment: Object) -> list[Step]:
    ready = deployment.get("status", {}).get("phase") == "Ready"
    return [Step.RESOURCE_CREATED, *([Step.READY_SEEN] if ready else [])]


def _shown_by_pod(pod: Object) -> list[Step]:
    shown = [Step.POD_CREATED]
    if pod["spec"].get("nodeName"):
        shown.append(Step.POD_SCHEDULED)
    statuses = pod.get("status", {}).get("containerStatuses", [])
    if pod_address(pod) and statuses and all("running" in status.get("state", {}) for status in statuses):
        shown.append(Step.CONTAINER_STARTED)
    return shown
