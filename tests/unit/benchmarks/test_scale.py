"""The figures of the benchmark of many deployments."""

import json

import pytest

from benchmarks.scale.objects import sample_of, sleeping_names
from benchmarks.scale.report import ScaleFigures, last_line, over_bounds


def figures() -> ScaleFigures:
    measured = ScaleFigures(300)
    measured.event_to_pod = [0.020] * 10
    measured.raw = [0.005] * 10
    measured.operator_mib = {"all looked at": 90.0, "idle": 120.04}
    measured.written = {"deployments": 10, "pods": 10, "events": 10}
    measured.idle_reads = 6
    measured.idle_seconds = 60
    return measured


def test_the_line_has_what_the_operator_adds_and_the_most_memory() -> None:
    assert json.loads(last_line(figures())) == {
        "deployments": 300,
        "event_to_pod_p99_ms": 15.0,
        "operator_rss_mib": 120.0,
        "writes_per_creation": 3.0,
        "idle_writes_per_s": 0.0,
        "idle_reads_per_s": 0.1,
    }
    assert over_bounds(figures().results()) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("idle_writes", 1, "idle_writes_per_s is 0.017: at most 0"),
        ("idle_reads", 66, "idle_reads_per_s is 1.1: at most 1"),
        ("written", {"deployments": 21, "pods": 10}, "writes_per_creation is 3.1: at most 3"),
        ("operator_mib", {"idle": 201.0}, "operator_rss_mib is 201.0: at most 200"),
        ("event_to_pod", [0.5], "event_to_pod_p99_ms is 495.0: at most 50"),
    ],
)
def test_what_is_over_its_bound_is_told(name: str, value: object, said: str) -> None:
    measured = figures()
    setattr(measured, name, value)
    assert [line for line in over_bounds(measured.results()) if name != "event_to_pod" or "event" in line] == [said]


def test_the_table_says_it_for_people() -> None:
    assert "10 deployments, 10 pods, 10 events" in figures().table()


def test_the_sample_has_the_last_one() -> None:
    names = sleeping_names(250)
    assert sample_of(names) == {names[0], names[100], names[200], names[249]}
