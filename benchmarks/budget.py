"""More models than memory: what is asked of Berth is answered, and the memory is kept.

    uv run python -m benchmarks.budget [--seconds 300] [--clients 8]

Three real models on `berth up` with memory for two. Each client asks one model after the other, at random, for a
streamed answer of random length. Meanwhile the resident memory of all processes that Berth has started is sampled:
engines, their supervisors, and the spare process.

The last line is one JSON object: requests answered, lost (refused, or ended by an error) and cut (a stream that ended
before its end was said), how many times a model was started, and the most memory that was seen, beside the budget.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from gguf import GGMLQuantizationType

from benchmarks.chat import AnswerError, text_of
from benchmarks.contenders import BERTH_PARALLEL, CONTEXT_SIZE, Server, berth, body
from benchmarks.processes import below, resident_bytes
from benchmarks.requantize import requantize
from benchmarks.steps import percentile
from benchmarks.switch import CACHE, models
from berth_formats.describe import describe
from berth_formats.memory import llamacpp_bytes
from berth_process.sizes import readable

THIRD = "SmolLM2-135M-Instruct-Q5_1"
SAMPLE_SECONDS = 0.1
LONGEST_ANSWER = 48
_REQUEST_SECONDS = 600


@dataclass(slots=True)
class BudgetCounts:
    """What became of the requests, and how much memory was used."""

    budget_bytes: int
    answered: dict[str, int] = field(default_factory=dict[str, int])
    lost: list[str] = field(default_factory=list[str])
    cut: list[str] = field(default_factory=list[str])
    first_tokens: list[float] = field(default_factory=list[float])
    """Seconds from each request to its first token."""
    starts: int = 0
    samples: int = 0
    most_bytes: int = 0


def three_models() -> dict[str, Path]:
    """The models' files. Makes those that are missing."""
    files = models()
    third = CACHE / THIRD / f"{THIRD}.gguf"
    requantize(next(iter(files.values())), third, GGMLQuantizationType.Q5_1)
    return {**files, THIRD: third}


def budget_for_two(files: Mapping[str, Path]) -> int:
    """A budget in bytes: any two of the three models fit into it, and never all."""
    return sum(sorted(llamacpp_bytes(describe(file), CONTEXT_SIZE, BERTH_PARALLEL) for file in files.values())[-2:])


async def crowd(files: Mapping[str, Path], seconds: float, clients: int, seed: int = 1) -> BudgetCounts:
    """Lets so many clients ask for so long, and waits for every request that was begun."""
    counts = BudgetCounts(budget_for_two(files))
    with tempfile.TemporaryDirectory(prefix="berth-budget-") as scratch:
        store = Path(scratch) / "store"
        for model, file in files.items():
            (store / model).mkdir(parents=True)
            (store / model / file.name).symlink_to(file)
        async with berth(store, Path(scratch) / "home", list(files), counts.budget_bytes) as served:
            sampling = asyncio.create_task(_sample(served.server, counts))
            until = time.monotonic() + seconds
            chances = [random.Random(f"{seed} {number}") for number in range(clients)]  # noqa: S311 (chance, not secrets)
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)) as session:
                await asyncio.gather(
                    *(_client(session, served.server.url, list(files), chance, until, counts) for chance in chances)
                )
            sampling.cancel()
    return counts


async def _client(
    session: aiohttp.ClientSession,
    url: str,
    names: list[str],
    chance: random.Random,
    until: float,
    counts: BudgetCounts,
) -> None:
    while time.monotonic() < until:
        model = chance.choice(names)
        started = time.monotonic()
        try:
            async with session.post(
                f"{url}/v1/chat/completions", json=_request(model, chance.randint(1, LONGEST_ANSWER))
            ) as response:
                if response.status != 200:
                    counts.lost.append(f"{model}: {response.status} {await response.text()}")
                    continue
                await _read(response, model, started, counts)
        except AnswerError as error:
            counts.lost.append(f"{model}: {error}")
        except (aiohttp.ClientError, TimeoutError) as error:
            counts.cut.append(f"{model}: {error or type(error).__name__}")


async def _read(response: aiohttp.ClientResponse, model: str, started: float, counts: BudgetCounts) -> None:
    first = True
    last = b""
    async for line in response.content:
        if text_of(line) and first:
            counts.first_tokens.append(time.monotonic() - started)
            first = False
        last = line.strip() or last
    if last == b"data: [DONE]":
        counts.answered[model] = counts.answered.get(model, 0) + 1
    else:
        counts.cut.append(f"{model}: ended after {last[:200]!r}")


def _request(model: str, tokens: int) -> dict[str, object]:
    return {**body(f"/models/{model}"), "max_tokens": tokens}


async def _sample(server: Server, counts: BudgetCounts) -> None:
    """Measures the resident memory of all processes below the server, again and again."""
    engines: set[int] = set()
    while True:
        family = below(server.pid)
        counts.most_bytes = max(counts.most_bytes, sum(map(resident_bytes, family)))
        counts.samples += 1
        serving = {pid for pid in family if resident_bytes(pid) > 100 << 20}
        counts.starts += len(serving - engines)
        engines |= serving
        await asyncio.sleep(SAMPLE_SECONDS)


def table(counts: BudgetCounts) -> str:
    """The counts for people."""
    waits = counts.first_tokens or [0.0]
    spread = f"p50 {percentile(waits, 50):.2f}, p95 {percentile(waits, 95):.2f}, max {max(waits):.2f}"
    most = readable(counts.most_bytes)
    return "\n".join(
        [
            *(f"{model:32}{number:6} answered" for model, number in sorted(counts.answered.items())),
            *(f"lost: {what}" for what in counts.lost),
            *(f"cut: {what}" for what in counts.cut),
            f"request to first token, seconds: {spread}",
            f"memory: {most} at most in {counts.samples} samples, of {readable(counts.budget_bytes)}",
        ]
    )


def result(counts: BudgetCounts) -> str:
    """The result as one JSON object."""
    return json.dumps(
        {
            "answered": sum(counts.answered.values()),
            "lost": len(counts.lost),
            "cut": len(counts.cut),
            "engine_starts": counts.starts,
            "most_memory_mb": round(counts.most_bytes / 1e6),
            "budget_mb": round(counts.budget_bytes / 1e6),
        }
    )


def main() -> int:
    """Prints the table and the result. Exit code 1: a request was lost or cut, or the budget exceeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long clients ask (%(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="%(default)s")
    arguments = parser.parse_args()
    counts = asyncio.run(crowd(three_models(), arguments.seconds, arguments.clients))
    print(table(counts))
    print(result(counts))
    return 1 if counts.lost or counts.cut or counts.most_bytes > counts.budget_bytes else 0


if __name__ == "__main__":
    sys.exit(main())
