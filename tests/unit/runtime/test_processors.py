"""How many threads an engine is given inside a container's limits."""

import os
from pathlib import Path

import pytest

from berth_runtime.processors import quota_processors, usable_processors


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        pytest.param({"cpu.max": "200000 100000\n"}, 2.0, id="v2"),
        pytest.param({"cpu.max": "50000 100000\n"}, 0.5, id="v2, half a processor"),
        pytest.param({"cpu.max": "max 100000\n"}, None, id="v2 without a limit"),
        pytest.param({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0, id="v1"),
        pytest.param({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, id="v1 without a limit"),
        pytest.param({}, None, id="no control groups"),
    ],
)
def test_the_limit_of_a_container(tmp_path: Path, files: dict[str, str], processors: float | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota_processors(tmp_path) == processors


def test_a_part_of_a_processor_counts_as_one(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert usable_processors(tmp_path) == 1


def test_no_more_threads_than_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("99900000 100000")
    assert usable_processors(tmp_path) == len(os.sched_getaffinity(0))
