"""How many threads an engine is given inside a container's limits."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from berth_runtime.container import quota_processors, usable_cores, usable_processors


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        pytest.param({"cpu.max": "200000 100000\n"}, 2.0, id="v2"),
        pytest.param({"cpu.max": "50000 100000\n"}, 0.5, id="v2, half a processor"),
        pytest.param({"cpu.max": "max 100000\n"}, None, id="v2 without a limit"),
        pytest.param({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0, id="v1"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, id="v1 without a limit"
        ),
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


@pytest.fixture
def two_sockets(tmp_path: Path) -> Path:
    """What a machine says of two sockets of two cores of two threads:
    0 to 3 are on different cores, and 4 to 7 again.
    """
    for number in range(8):
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{number % 4 // 2}\n")
        (topology / "core_id").write_text(f"{number % 2}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("allowed", "limit", "cores"),
    [
        pytest.param(range(8), "max 100000", 2, id="of one socket, each once"),
        pytest.param(range(8), "150000 100000", 2, id="a limit of one and a half"),
        pytest.param(range(8), "50000 100000", 1, id="a limit of a half"),
        pytest.param(range(8), "800000 100000", 2, id="a limit of more than there are"),
        pytest.param([0, 4], "max 100000", 1, id="two threads of one core"),
        pytest.param([0, 1, 2], "max 100000", 2, id="the socket of which there is more"),
        pytest.param([8, 9], "max 100000", 2, id="nothing known of them"),
    ],
)
def test_the_cores_to_compute_on(
    two_sockets: Path, monkeypatch: pytest.MonkeyPatch, allowed: Iterable[int], limit: str, cores: int
) -> None:
    def affinity(_process: int) -> set[int]:
        return set(allowed)

    monkeypatch.setattr(os, "sched_getaffinity", affinity)
    (two_sockets / "cpu.max").write_text(limit)
    assert usable_cores(two_sockets, two_sockets) == cores
