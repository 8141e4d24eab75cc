"""The table for people and the line for programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks.router.contenders import BERTH, NGINX
from benchmarks.router.rounds import CHUNKS_PER_SECOND, CLIENTS, STREAMS, Cost, Figures, Measured, Others

_LABEL_WIDTH = 14
_BUSY = 0.9
"""A contender that was busy for less of a round was kept waiting, by load and upstream or by other processes."""

_QUIET = 0.03
"""The share of a processor that other processes may have."""

Costs = Callable[[Figures], Sequence[Cost]]


def ratios(ours: Sequence[Cost], theirs: Sequence[Cost]) -> list[float]:
    """The ratio of the processor times, round by round: rounds that follow each other mostly meet the same machine."""
    return [one.cpu_us / other.cpu_us for one, other in zip(ours, theirs, strict=True)]


def added(through: Sequence[float], direct: Sequence[float]) -> float:
    """The median of the differences of single rounds."""
    return median(one - other for one, other in zip(through, direct, strict=True))


def result(measured: Measured) -> str:
    """The result as one JSON object. null: it could not be measured."""
    direct, figures, _ = measured
    berth = figures.get(BERTH)
    return json.dumps(
        {
            "cpu_ratio_vs_nginx": _ratio_to_nginx(figures, _of_requests),
            "chunk_ratio_vs_nginx": _ratio_to_nginx(figures, _of_chunks),
            "stream_kib": round(berth.crowd.kib, 1) if berth and berth.crowd else None,
            "added_p50_us": round(added(berth.p50_us, direct.p50_us)) if berth else None,
            "streams_dropped": berth.faults.total() if berth else None,
        }
    )


def table(measured: Measured) -> str:
    """The table of all that was measured."""
    direct, figures, others = measured
    chunk = f"a chunk of {STREAMS} streams, {CHUNKS_PER_SECOND} a second each"
    parts = [
        [f"a request of {CLIENTS} clients: microseconds of processor", *_costs(figures, _of_requests)],
        [f"{chunk}: microseconds of processor", *_costs(figures, _of_chunks)],
        ["a request of one client: microseconds to its answer, half take no longer", *_latencies(direct, figures)],
        ["many streams at once", *_crowds(figures)],
        [*_upstream(direct, figures), *_others(others)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _of_requests(figures: Figures) -> Sequence[Cost]:
    return figures.requests


def _of_chunks(figures: Figures) -> Sequence[Cost]:
    return figures.chunks


def _ratio_to_nginx(figures: Mapping[str, Figures], costs_of: Costs) -> float | None:
    if BERTH not in figures or NGINX not in figures:
        return None
    return round(median(ratios(costs_of(figures[BERTH]), costs_of(figures[NGINX]))), 2)


def _costs(figures: Mapping[str, Figures], costs_of: Costs) -> list[str]:
    beside = costs_of(figures[NGINX]) if NGINX in figures else None
    spread = f"{'median':>9}{'min':>9}{'max':>9}"
    lines = [f"{'':{_LABEL_WIDTH}}{spread}{'by nginx':>10}{'min':>7}{'max':>7}{'a second':>10}{'busy':>7}"]
    for name, found in figures.items():
        costs = costs_of(found)
        compared = _spread(ratios(costs, beside), (10, 7, 7), 2) if beside else f"{'-':>10}{'-':>7}{'-':>7}"
        rate, share = median(cost.rate for cost in costs), median(cost.share for cost in costs)
        cpu = _spread([cost.cpu_us for cost in costs], digits=1)
        lines.append(f"{name:{_LABEL_WIDTH}}{cpu}{compared}{rate:10.0f}{share:7.0%}")
    return lines


def _latencies(direct: Figures, figures: Mapping[str, Figures]) -> list[str]:
    lines = [
        f"{'':{_LABEL_WIDTH}}{'median':>9}{'min':>9}{'max':>9}{'added':>10}",
        f"{'direct':{_LABEL_WIDTH}}{_spread(direct.p50_us)}{'-':>10}",
    ]
    for name, found in figures.items():
        more = added(found.p50_us, direct.p50_us)
        lines.append(f"{name:{_LABEL_WIDTH}}{_spread(found.p50_us)}{more:10.0f}")
    return lines


def _crowds(figures: Mapping[str, Figures]) -> list[str]:
    lines = [f"{'':{_LABEL_WIDTH}}{'open':>9}{'KiB each':>10}{'streams in all':>16}{'dropped':>9}"]
    for name, found in figures.items():
        crowd = f"{found.crowd.opened:9}{found.crowd.kib:10.1f}" if found.crowd else f"{'-':>9}{'-':>10}"
        why = "".join(f"  {fault}: {number}" for fault, number in found.faults.most_common())
        lines.append(f"{name:{_LABEL_WIDTH}}{crowd}{found.streams:16}{found.faults.total():9}{why}")
    return lines


def _upstream(direct: Figures, figures: Mapping[str, Figures]) -> list[str]:
    rate, own = median(cost.rate for cost in direct.requests), median(cost.cpu_us for cost in direct.requests)
    lines = [f"the upstream asked directly: {rate:.0f} requests a second, {own:.1f} microseconds of its processor each"]
    waited = [name for name, found in figures.items() if median(cost.share for cost in found.requests) < _BUSY]
    if waited:
        lines.append(f"{', '.join(waited)}: kept waiting, so the requests a second are not the most there could be")
    return lines


def _others(others: Others) -> list[str]:
    lines = [f"others had {others.contenders:.1%} of the contenders' processor and {others.load:.1%} of the load's"]
    if max(others) > _QUIET:
        lines.append("that is much: measure again on a quiet machine before you rely on these figures")
    return lines


def _spread(values: Sequence[float], widths: tuple[int, int, int] = (9, 9, 9), digits: int = 0) -> str:
    """Median, least and most."""
    found = (median(values), min(values), max(values))
    return "".join(f"{value:{width}.{digits}f}" for value, width in zip(found, widths, strict=True))
