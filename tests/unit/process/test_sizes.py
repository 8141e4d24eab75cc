"""Sizes in bytes as people read them: the same text of a model's size, whoever writes it."""

import pytest

from berth_process.sizes import readable
from berth_runtime.model_path import readable_size

SIZES = [
    (0, "0 B"),
    (999, "999 B"),
    (12_300, "12 kB"),
    (98_362_432, "98 MB"),
    (350_000_000, "350 MB"),
    (999_700_000, "1.0 GB"),
    (1_234_000_000, "1.2 GB"),
    (4_683_073_184, "4.7 GB"),
    (99_960_000_000, "100 GB"),
    (1_500_000_000_000, "1.5 TB"),
]


@pytest.mark.parametrize(("size", "text"), SIZES)
def test_sizes(size: int, text: str) -> None:
    assert readable(size) == text
    assert readable_size(size) == text, "an engine's image has its own copy, which must say the same"
