"""What it costs to go through Berth's router, beside others that pass requests on.

    uv run python -m benchmarks.router [--quick] [--contender NAME]...

nginx, a bare splice of two sockets in Python, vllm-router, and Berth with everything on (API keys, the lookup of the
model among several, leases, stats, metrics): each is a process of its own on one processor. On another are the load and
the upstream, which answers at once. They take turns, round by round, so that all meet the same machine. What is
measured:

- Processor time that a request takes of the contender and its workers, as the kernel counts it. wrk has 32 clients that
  keep their connections; a chat request has 1.1 KB, its answer 0.9 KB.
- The same of a chunk of 200 bytes, with 200 streams of 50 chunks a second each.
- The time to an answer at one client, half take no longer, less that of the upstream asked directly.
- Resident memory of a stream, with thousands open at once in a contender that was just started: its growth by the
  number of streams. The upstream holds all of them after their first chunk until the last one is open.
- Streams that were dropped. Each stream's chunks carry its number, and its client checks all of its bytes.

A ratio is the median of those of the single rounds. Who is the limit of the requests a second matters little to the
processor time of each, but the table says how fast the upstream is by itself, and for how much of the time a contender
was busy. It says too what others had of the processors meanwhile: a contender that they keep waiting finds more to do
at once and needs less for each piece, with colder caches. Only a quiet machine gives figures to rely on.

wrk is needed, and nginx is wanted: `apt-get install wrk nginx-light`. vllm-router is installed from PyPI, into an
environment of its own in Berth's cache folder.

The last line is one JSON object: cpu_ratio_vs_nginx, of a request; chunk_ratio_vs_nginx; stream_kib; added_p50_us;
streams_dropped. The exit code is 1 where a stream through Berth was dropped, or Berth could not be measured.
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import uvloop

from benchmarks.router.contenders import (
    BERTH,
    NGINX,
    SPLICE,
    VLLM_ROUTER,
    ContenderStart,
    berth,
    nginx,
    nginx_program,
    nginx_version,
    splice,
)
from benchmarks.router.report import result, table
from benchmarks.router.rounds import FULL, QUICK, Measured, Processors, RoundPlan, bench
from benchmarks.router.vllm_router import VERSION, installed, vllm_router
from benchmarks.router.wrk import wrk_missing

NAMES = (NGINX, SPLICE, BERTH, VLLM_ROUTER)


def contenders(names: Sequence[str]) -> tuple[dict[str, ContenderStart], list[str]]:
    """The contenders that are installed, and lines for people: their versions, and why others are missing."""
    found: dict[str, ContenderStart] = {}
    remarks: list[str] = []
    if NGINX in names:
        if program := nginx_program():
            found[NGINX] = nginx
            remarks.append(f"nginx {nginx_version(program)}")
        else:
            remarks.append("nginx is missing, so there is nothing to compare with: apt-get install nginx-light")
    if SPLICE in names:
        found[SPLICE] = splice
    if BERTH in names:
        found[BERTH] = berth
    if VLLM_ROUTER in names:
        try:
            found[VLLM_ROUTER] = vllm_router(installed())
            remarks.append(f"vllm-router {VERSION}")
        except (RuntimeError, OSError) as error:
            remarks.append(f"vllm-router is missing: {' '.join(str(error).split())}")
    return found, [*remarks, f"Python {platform.python_version()}, uvloop {version('uvloop')}"]


def processors() -> Processors:
    """The first two processors that this process may use. Raises SystemExit if there is only one."""
    match sorted(os.sched_getaffinity(0)):
        case [contenders, load, *_]:
            return Processors(contenders, load)
        case _:
            raise SystemExit("benchmarks.router: two processors are needed: the contenders', and the load's")


def raise_open_files(streams: int) -> None:
    """Allows this process and its children the open files that the streams need. Raises SystemExit if it may not."""
    needed = 2 * streams + 1000  # a contender has two sockets for each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    except (ValueError, OSError):
        limits = f"{streams} streams need {needed} open files, and the limit here is {hard}"
        raise SystemExit(f"benchmarks.router: {limits}: see ulimit -Hn") from None


def machine() -> str:
    """The machine on which this runs, and the time."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(models, platform.machine())
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{os.cpu_count()} processors ({model}), Linux {platform.release()}, {when}"


async def run(plan: RoundPlan, found: dict[str, ContenderStart]) -> Measured:
    """Measures everything."""
    where = processors()
    os.sched_setaffinity(0, {where.load})  # what this process starts is there too, where nothing else is said
    with tempfile.TemporaryDirectory(prefix="berth-router-") as scratch:
        async with bench(plan, Path(scratch), where) as measuring:
            return await measuring.measure(found)


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=(__doc__ or "").split("\n\n")[0])
    shorter = f"{QUICK.rounds} short rounds, not {FULL.rounds}; {QUICK.crowd} streams at once, not {FULL.crowd}"
    parser.add_argument("--quick", action="store_true", help=shorter)
    parser.add_argument("--contender", action="append", choices=NAMES, help="only this one; may be repeated")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    if missing := wrk_missing():
        print(f"benchmarks.router: {missing}", file=sys.stderr)
        return 1
    raise_open_files(plan.crowd)
    found, remarks = contenders(arguments.contender or NAMES)
    where, load_before = machine(), os.getloadavg()[0]
    try:
        measured = uvloop.run(run(plan, found))
    except (RuntimeError, OSError) as error:
        print(f"benchmarks.router: {error}", file=sys.stderr)
        return 1
    load = f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(f"Through a router, {plan.rounds} rounds on {where}; {load}")
    print("\n".join(remarks), end="\n\n")
    print(table(measured), end="\n\n")
    print(result(measured))
    berths = measured.contenders.get(BERTH)
    return 1 if BERTH in found and (berths is None or berths.faults) else 0


if __name__ == "__main__":
    sys.exit(main())
