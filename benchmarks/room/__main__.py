"""Room for models: how long requests wait, and how often models change places, by several policies.

    uv run python -m benchmarks.room [--quick]

One node, one to four devices, three to twelve models of one device each that start in 5 to 90 seconds. The requests of
the traces come at random, and their answers take 1 to 30 seconds. The policies: this one, "least recently used", "never
evict" (a model keeps its device until its TTL of 300 s is over) and this one told how often each model is really asked.

Small cases are compared with the optimum: the least total wait that anybody could have who knows all requests
beforehand, and loads a model when it is asked for. There the requests come one by one, 100 s apart. "Best by chance" is
the least that a policy can be expected to have which knows the chances that each trace is drawn from, and not the draw:
what it waits more than the optimum no policy can save.

At last, the time that a decision takes about 500 nodes and 5,000 deployments, in processor time.

The last line is one JSON object. Ratios are of the total waits; a ratio below 1 is in this policy's favour.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence

from benchmarks.room.optimum import least_wait, least_wait_by_chance
from benchmarks.room.policies import berth, least_recently_used, never_evict, rates_known
from benchmarks.room.speed import CROWDS, GPU, ORDINARY, decision_seconds
from benchmarks.room.traces import CHANCES, TRACES, TracedRequest, catalog, trace
from benchmarks.room.world import Deciding, SimulatedModel, World, WorldCounts, of_one_node
from benchmarks.steps import percentile

SIZES = ((1, 3), (2, 6), (3, 8), (4, 12))
"""Devices and models."""

SMALL = ((1, 3), (2, 4), (2, 6), (3, 6))
"""Those of which the optimum is computed."""

_APART = 100.0
_AFTERWARDS = 20_000.0


def simulated(
    models: Sequence[SimulatedModel], devices: int, requests: Sequence[TracedRequest], deciding: Deciding
) -> WorldCounts:
    """What becomes of these requests."""
    world = World(of_one_node({GPU: devices}), models, deciding, random.Random(0))  # noqa: S311 (chance, not secrets)
    for each in requests:
        world.ask(each.at, each.model, each.duration)
    world.run(requests[-1].at + _AFTERWARDS)
    return world.counts


def policies(models: Sequence[SimulatedModel], requests: Sequence[TracedRequest]) -> Mapping[str, Deciding]:
    """All that are compared on this trace."""
    seconds = requests[-1].at
    rates = {model.name: (1 + sum(each.model == model.name for each in requests)) / seconds for model in models}
    return {
        "this policy": berth(),
        "with 30 s of residency": berth(min_residency=30),
        "least recently used": least_recently_used,
        "never evict": never_evict,
        "rates known": rates_known(rates, models),
    }


def compare(requests: int, seeds: int) -> dict[str, dict[str, float]]:
    """Prints a row for each trace and policy. Returns the total waits, by trace and policy."""
    totals: dict[str, dict[str, float]] = {}
    print(f"{'':15}{'':24}{'hit rate':>9}{'p50 wait':>10}{'p95 wait':>10}{'switches':>10}")
    for name, chooser in TRACES.items():
        counts: dict[str, list[WorldCounts]] = {}
        for seed in range(seeds):
            for devices, number in SIZES:
                chance = random.Random(f"{name} {devices} {seed}")  # noqa: S311 (chance, not secrets)
                models = catalog(number, chance)
                asked = trace(chooser(number), models, requests, chance, apart=None)
                for policy, deciding in policies(models, asked).items():
                    counts.setdefault(policy, []).append(simulated(models, devices, asked, deciding))
        for policy, found in counts.items():
            print(f"{name:15}{policy:24}{_row(found)}")
        totals[name] = {policy: sum(sum(each.waits) for each in found) for policy, found in counts.items()}
    return totals


def against_optimum(requests: int, seeds: int) -> dict[str, dict[str, float]]:
    """Prints the total waits of small cases over the optimum's. Returns the totals by trace, the optimum's too."""
    totals: dict[str, dict[str, float]] = {}
    print(f"\n{'total wait over the optimum':39}{'this':>9}{'LRU':>9}{'rates known':>13}{'best by chance':>16}")
    for name, chooser in TRACES.items():
        sums: dict[str, float] = dict.fromkeys(
            ("optimum", "best by chance", "this policy", "least recently used", "rates known"), 0.0
        )
        for seed in range(seeds):
            for devices, number in SMALL:
                chance = random.Random(f"small {name} {devices} {number} {seed}")  # noqa: S311 (chance, not secrets)
                models = [_without_ttl(model) for model in catalog(number, chance)]
                asked = trace(chooser(number), models, requests, chance, apart=_APART)
                sums["optimum"] += least_wait(asked, models, devices)
                sums["best by chance"] += least_wait_by_chance(asked, models, devices, CHANCES[name](number))
                for policy, deciding in policies(models, asked).items():
                    if policy in sums:
                        sums[policy] += sum(simulated(models, devices, asked, deciding).waits)
        shown = ("this policy", "least recently used", "rates known", "best by chance")
        ratios = [sums[policy] / sums["optimum"] for policy in shown]
        print(f"{name:39}{ratios[0]:9.3f}{ratios[1]:9.3f}{ratios[2]:13.3f}{ratios[3]:16.3f}")
        totals[name] = sums
    return totals


def speed(rounds: int) -> dict[str, float]:
    """Prints how long decisions take. Returns the p99 in milliseconds, by crowd."""
    print(f"\n{'milliseconds of one decision':39}{'p50':>9}{'p99':>9}")
    found: dict[str, float] = {}
    for crowd in CROWDS:
        taken = [seconds * 1000 for seconds in decision_seconds(crowd, rounds)]
        found[crowd.name] = percentile(taken, 99)
        print(f"{crowd.name:39}{percentile(taken, 50):9.1f}{found[crowd.name]:9.1f}")
    return found


def main() -> int:
    """Prints the tables and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests and decisions")
    scale = 1 if parser.parse_args().quick else 10
    traces = compare(60 * scale, 2)
    small = against_optimum(60 * scale, 2)
    taken = speed(20 * scale)
    print(
        json.dumps(
            {
                "wait_ratio_vs_optimum": round(_total(small, "this policy") / _total(small, "optimum"), 3),
                "wait_ratio_vs_best_by_chance": round(
                    _total(small, "this policy") / _total(small, "best by chance"), 3
                ),
                "wait_ratio_vs_lru": round(_total(traces, "this policy") / _total(traces, "least recently used"), 3),
                "decision_p99_ms": round(taken[ORDINARY], 1),
            }
        )
    )
    return 0


def _total(totals: Mapping[str, Mapping[str, float]], policy: str) -> float:
    return sum(each[policy] for each in totals.values())


def _row(found: Sequence[WorldCounts]) -> str:
    waits = [wait for each in found for wait in each.waits]
    hits = sum(each.hits for each in found) / len(waits)
    switches = sum(each.evictions for each in found)
    return f"{hits:9.1%}{percentile(waits, 50):10.1f}{percentile(waits, 95):10.1f}{switches:10}"


def _without_ttl(model: SimulatedModel) -> SimulatedModel:
    return SimulatedModel(model.name, model.needs, model.start_seconds, ttl_seconds=1e9)


if __name__ == "__main__":
    sys.exit(main())
