"""As many slots as the processors are good for."""

import pytest

from berth_local.engines.slots import slots, with_slots


@pytest.mark.parametrize(("processors", "expected"), [(1, 2), (2, 2), (8, 4), (16, 8), (64, 8)])
def test_slots_follow_the_processors_within_bounds(processors: int, expected: int) -> None:
    assert slots(processors) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["llamacpp", "--gpu-layers", "0", "--parallel", "8"], ["llamacpp", "--gpu-layers", "0", "--parallel", "2"]),
        (["llamacpp", "--gpu-layers", "-1", "--parallel", "8"], ["llamacpp", "--gpu-layers", "-1", "--parallel", "8"]),
        (["llamacpp", "--gpu-layers", "0"], ["llamacpp", "--gpu-layers", "0"]),
    ],
)
def test_only_what_computes_on_the_processors_gets_fewer(arguments: list[str], expected: list[str]) -> None:
    assert with_slots(arguments, 2) == expected
