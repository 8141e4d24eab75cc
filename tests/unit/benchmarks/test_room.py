"""What the policies of room are compared with."""

import random

import pytest

from benchmarks.room.optimum import least_wait, least_wait_by_chance
from benchmarks.room.traces import CHANCES, TRACES, catalog, trace


def test_who_is_certain_of_what_comes_waits_as_little_as_who_knows_it() -> None:
    chance = random.Random(1)  # noqa: S311 (chance, not secrets)
    models = catalog(4, chance)
    order = [chance.randrange(4) for _ in range(30)]
    requests = trace(lambda _chance, second: order[int(second) // 100 - 1], models, len(order), chance, apart=100.0)

    def certain(second: float, last: int) -> list[float]:
        return [float(index == order[int(second) // 100 - 1]) for index in range(4)]

    by_chance = least_wait_by_chance(requests, models, 2, certain)
    assert by_chance == pytest.approx(least_wait(requests, models, 2))
    assert by_chance < least_wait_by_chance(requests, models, 2, lambda second, last: (0.25,) * 4)


@pytest.mark.parametrize("name", TRACES)
def test_the_chances_are_those_that_the_traces_are_drawn_from(name: str) -> None:
    chance = random.Random(1)  # noqa: S311 (chance, not secrets)
    chances, drawn, expected = CHANCES[name](5), [0.0] * 5, [0.0] * 5
    chooser = TRACES[name](5)
    last = 0
    for second in range(20_000):
        expected = [each + part for each, part in zip(expected, chances(second, last), strict=True)]
        last = chooser(chance, second)
        drawn[last] += 1
    assert sum(expected) == pytest.approx(20_000)
    assert drawn == pytest.approx(expected, rel=0.1)
