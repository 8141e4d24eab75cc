"""Made-up traces: who asks for which model, and when."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.room.speed import GPU
from benchmarks.room.world import SimulatedModel


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request: the second at which it comes, the model, and how many seconds its answer takes."""

    at: float
    model: str
    duration: float


Chooser = Callable[[random.Random, float], int]
"""The index of the next request's model, at this second."""


def catalog(count: int, chance: random.Random) -> list[SimulatedModel]:
    """Models of one device each that start in 5 to 90 seconds."""
    return [
        SimulatedModel(f"model-{at}", ({GPU: 1},), round(math.exp(chance.uniform(math.log(5), math.log(90))), 1))
        for at in range(count)
    ]


def uniform(count: int) -> Chooser:
    """Every model as often as every other."""
    return lambda chance, _: chance.randrange(count)


def zipf(count: int) -> Chooser:
    """The second model half as often as the first, the third a third as often, and so on."""
    weights = [1 / (rank + 1) for rank in range(count)]
    return lambda chance, _: chance.choices(range(count), weights)[0]


def bursts(count: int) -> Chooser:
    """Somebody works with one model for a while, then with another."""
    current = 0

    def choose(chance: random.Random, _: float) -> int:
        nonlocal current
        if chance.random() < 0.15:
            current = chance.randrange(count)
        return current

    return choose


def day_and_night(count: int) -> Chooser:
    """Half of the models by day, the others by night; a day has two hours here."""

    def choose(chance: random.Random, second: float) -> int:
        by_day = (second // 3600) % 2 == 0
        half = range(count // 2) if by_day == (chance.random() < 0.9) else range(count // 2, count)
        return chance.choice(half)

    return choose


NextRequest = Callable[[float, int], Sequence[float]]
"""The chances of each model to be the one that is asked at this second, after the one of this index was asked last."""


def uniform_chances(count: int) -> NextRequest:
    """What `uniform` draws from."""
    return lambda second, last: (1 / count,) * count


def zipf_chances(count: int) -> NextRequest:
    """What `zipf` draws from."""
    total = sum(1 / (rank + 1) for rank in range(count))
    chances = [1 / (rank + 1) / total for rank in range(count)]
    return lambda second, last: chances


def bursts_chances(count: int) -> NextRequest:
    """What `bursts` draws from."""
    return lambda second, last: [0.15 / count + 0.85 * (index == last) for index in range(count)]


def day_and_night_chances(count: int) -> NextRequest:
    """What `day_and_night` draws from."""

    def chances(second: float, last: int) -> Sequence[float]:
        first = 0.9 if (second // 3600) % 2 == 0 else 0.1
        half = count // 2
        return [first / half if index < half else (1 - first) / (count - half) for index in range(count)]

    return chances


CHANCES: dict[str, Callable[[int], NextRequest]] = {
    "uniform": uniform_chances,
    "Zipf": zipf_chances,
    "bursts": bursts_chances,
    "day and night": day_and_night_chances,
}

TRACES: dict[str, Callable[[int], Chooser]] = {
    "uniform": uniform,
    "Zipf": zipf,
    "bursts": bursts,
    "day and night": day_and_night,
}


def trace(
    chooser: Chooser, models: Sequence[SimulatedModel], requests: int, chance: random.Random, *, apart: float | None
) -> list[TracedRequest]:
    """So many requests: one every `apart` seconds, or at random, one in 20 seconds, if `apart` is None."""
    second = 0.0
    found: list[TracedRequest] = []
    for _ in range(requests):
        second += apart if apart is not None else chance.expovariate(1 / 20)
        model = models[chooser(chance, second)].name
        found.append(TracedRequest(second, model, 1.0 if apart is not None else chance.uniform(1, 30)))
    return found
