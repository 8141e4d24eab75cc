"""The table for people and the line for programs: pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.steps import percentile

BOUNDS = {
    "event_to_pod_p99_ms": 50,
    "operator_rss_mib": 200,
    "writes_per_creation": 3,
    "idle_writes_per_s": 0,
    "idle_reads_per_s": 1,
}


@dataclass(slots=True)
class ScaleFigures:
    """What was measured. Times in seconds, memory in MiB."""

    deployments: int
    restarted_seconds: float = 0
    """From the start of the operator until every one of the sample was written, the last one too."""
    operator_mib: dict[str, float] = field(default_factory=dict[str, float])
    operator_peak_mib: float = 0
    router_mib: float = 0
    router_peak_mib: float = 0
    event_to_pod: list[float] = field(default_factory=list[float])
    raw: list[float] = field(default_factory=list[float])
    """From the call that creates a pod to the watch that shows it."""
    written: Mapping[str, int] = field(default_factory=dict[str, int])
    """By the operator, for the creations."""
    idle_writes: int = 0
    """By the operator and the router."""
    idle_reads: int = 0
    """By both: each watch that begins anew is one."""
    idle_seconds: float = 1

    def results(self) -> dict[str, float]:
        """The figures that have bounds. The two kinds of creations took turns, so they met the same machine."""
        above = percentile(self.event_to_pod, 99) - percentile(self.raw, 99)
        return {
            "event_to_pod_p99_ms": round(above * 1000, 1),
            "operator_rss_mib": round(max(self.operator_mib.values()), 1),
            "writes_per_creation": round(sum(self.written.values()) / len(self.event_to_pod), 2),
            "idle_writes_per_s": round(self.idle_writes / self.idle_seconds, 3),
            "idle_reads_per_s": round(self.idle_reads / self.idle_seconds, 3),
        }

    def table(self) -> str:
        """For people."""
        lines = [
            f"{self.deployments} deployments that sleep, {len(self.event_to_pod)} that are made",
            "",
            f"{'milliseconds':44}{'p50':>9}{'p99':>9}",
            _times("a new deployment's event until its pod's", self.event_to_pod),
            _times("the raw API: a pod's creation until its event", self.raw),
            "",
            *(_row(f"the operator's memory, {when}", f"{size:.1f} MiB") for when, size in self.operator_mib.items()),
            _row("the most it ever was", f"{self.operator_peak_mib:.1f} MiB"),
            _row("the router's memory", f"{self.router_mib:.1f} MiB, at most {self.router_peak_mib:.1f}"),
            "",
            _row(
                "writes of the operator for the creations", ", ".join(f"{n} {what}" for what, n in self.written.items())
            ),
            _row("writes when idle", f"{self.idle_writes} in {self.idle_seconds:.0f} s"),
            _row("reads when idle", f"{self.idle_reads} in {self.idle_seconds:.0f} s"),
            _row("a restart until all are looked at", f"{self.restarted_seconds:.1f} s"),
        ]
        return "\n".join(lines)


def last_line(figures: ScaleFigures) -> str:
    """One JSON object."""
    return json.dumps({"deployments": figures.deployments, **figures.results()})


def over_bounds(results: Mapping[str, float]) -> list[str]:
    """The figures that are worse than they may be."""
    return [f"{name} is {results[name]}: at most {most}" for name, most in BOUNDS.items() if results[name] > most]


def _times(label: str, values: list[float]) -> str:
    return f"{label:44}{percentile(values, 50) * 1000:9.1f}{percentile(values, 99) * 1000:9.1f}"


def _row(label: str, value: str) -> str:
    return f"{label:44}{value:>18}"
