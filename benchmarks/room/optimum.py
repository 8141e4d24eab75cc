"""The least total wait that is possible: for who knows all requests, and for who knows the chances of each.

Both by dynamic programming, over the requests and the sets of loaded models. Only for requests that come one by one,
each after the one before is answered, and for models of one device. A model is loaded when it is asked for, and not
before: a request then waits for its start, and where all devices are taken, for another one's leaving too.
"""

from collections.abc import Sequence
from itertools import combinations

from benchmarks.room.traces import NextRequest, TracedRequest
from benchmarks.room.world import LEAVING_SECONDS, SimulatedModel


def least_wait(requests: Sequence[TracedRequest], models: Sequence[SimulatedModel], devices: int) -> float:
    """The sum of all waits in seconds, for somebody who knows all requests."""
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


def least_wait_by_chance(
    requests: Sequence[TracedRequest], models: Sequence[SimulatedModel], devices: int, chances: NextRequest
) -> float:
    """The sum of all waits in seconds, for somebody who knows the chances of each next request, and not which it is.

    No policy can be expected to have less: none knows more of what is drawn.
    """
    ahead = _expected_waits(requests, models, devices, chances)
    index = {model.name: at for at, model in enumerate(models)}
    loaded: frozenset[int] = frozenset()
    waited = 0.0
    for number, request in enumerate(requests):
        cost, loaded = _served(loaded, index[request.model], models, devices, ahead[number + 1])
        waited += cost
    return waited


_Expected = dict[tuple[frozenset[int], int], float]
"""The expected sum of all later waits, by the models that are loaded and the one that was asked last."""


def _expected_waits(
    requests: Sequence[TracedRequest], models: Sequence[SimulatedModel], devices: int, chances: NextRequest
) -> list[_Expected]:
    """By the number of requests that were served."""
    full = [frozenset(each) for size in range(1, devices + 1) for each in combinations(range(len(models)), size)]
    states = [(loaded, last) for loaded in full for last in loaded]
    ahead: list[_Expected] = [dict.fromkeys(states, 0.0)]
    for request in reversed(requests[1:]):
        later = ahead[-1]
        now: _Expected = {}
        for loaded, last in states:
            expected = 0.0
            for asked, chance in enumerate(chances(request.at, last)):
                cost, after = _served(loaded, asked, models, devices, later)
                expected += chance * (cost + later[after, asked])
            now[loaded, last] = expected
        ahead.append(now)
    ahead.append({})  # before the first request
    return ahead[::-1]


def _served(
    loaded: frozenset[int], asked: int, models: Sequence[SimulatedModel], devices: int, later: _Expected
) -> tuple[float, frozenset[int]]:
    """What a request waits, and what is loaded then: of those that may leave, the one whose leaving costs least."""
    if asked in loaded:
        return 0.0, loaded
    start = models[asked].start_seconds
    if len(loaded) < devices:
        return start, loaded | {asked}
    choices = [loaded - {leaves} | {asked} for leaves in loaded]
    return start + LEAVING_SECONDS, min(choices, key=lambda after: later[after, asked])
