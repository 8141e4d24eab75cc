"""The least total wait that is possible, by somebody who knows all requests beforehand."""

from collections.abc import Sequence
from itertools import combinations

from benchmarks.room.traces import TracedRequest
from benchmarks.room.world import LEAVING_SECONDS, SimulatedModel


def least_wait(requests: Sequence[TracedRequest], models: Sequence[SimulatedModel], devices: int) -> float:
    """The sum of all waits in seconds, by dynamic programming over the requests and the sets of loaded models.

    Only for requests that come one by one, each after the one before is answered, and for models of one device. A
    model is loaded when it is asked for, and not before: a request then waits for its start, and where all devices
    are taken, for another one's leaving too.
    """
    start = {model.name: model.start_seconds for model in models}
    best: dict[frozenset[str], float] = {frozenset(): 0.0}
    for request in requests:
        after: dict[frozenset[str], float] = {}
        for loaded, waited in best.items():
            if request.model in loaded:
                _keep(after, loaded, waited)
                continue
            full = len(loaded) == devices
            cost = waited + start[request.model] + (LEAVING_SECONDS if full else 0.0)
            for kept in combinations(loaded, devices - 1) if full else [tuple(loaded)]:
                _keep(after, frozenset((*kept, request.model)), cost)
        best = after
    return min(best.values())


def _keep(states: dict[frozenset[str], float], loaded: frozenset[str], waited: float) -> None:
    if waited < states.get(loaded, float("inf")):
        states[loaded] = waited
