"""Tokens a second through Berth beside the very same engine asked directly, at one client and at eight.

    uv run python -m benchmarks.engines [--quick] [--engine NAME]... [--clients N]...

Installs the chart in a namespace of its own in the cluster that KUBECONFIG names and has each engine started by a
request. Then rounds alternate between the router's Service and the engine's own address: in each, 1 or 8 clients stream
an answer of the same length. Both kinds of round meet the same engine process, the same prompts and the same client, so
that their ratio is what Berth costs. Both are warmed first, and they take turns at going first. The tokens are those
that the engine itself counts.

A shared machine computes a third faster or slower from one second to the next, whoever asks. Therefore rounds are as
short as that, follow each other at once, and are many: two neighbours mostly meet the same machine, and the more pairs,
the less is left to chance. What the router does every few seconds (leases, statuses) falls into rounds of both kinds;
it takes some 20 ms in 10 s.

What is reported is all tokens by all seconds of the rounds of each way, with the standard error of the mean of the
single pairs' ratios.

The last line is one JSON object: `<engine>_c1` and `<engine>_c8`, tokens a second through Berth by tokens a second
direct.
"""

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from benchmarks.chat import AnswerError
from benchmarks.installation import built_images, installed, require_test_cluster
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.e2e.release import MODEL, SAFETENSORS, Release


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """The requests that an engine gets."""

    model: str
    tokens: dict[int, int]
    """The tokens of one answer, by the number of clients: about a second on two processors."""


LOADS = {
    "llamacpp": EngineLoad(MODEL, {1: 48, 8: 12}),
    "vllm": EngineLoad(SAFETENSORS, {1: 24, 8: 16}),
    "transformers": EngineLoad(SAFETENSORS, {1: 16, 8: 6}),
}
CLIENTS = (1, 8)
SECONDS = 450
"""Of rounds for each engine and number of clients. Their standard error is about one percent."""

QUICK_SECONDS = 40
FEWEST_PAIRS = 4
"""The fewest pairs, however slow the engine is: the standard error of fewer means nothing."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the engine."""

    url: str
    request: dict[str, Any]
    headers: dict[str, str]


class EngineRound(NamedTuple):
    """The result of one round."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


class EnginePair(NamedTuple):
    """One round each way."""

    through_berth: EngineRound
    direct: EngineRound

    @property
    def ratio(self) -> float:
        """The share of the engine's rate that is left through Berth."""
        return self.through_berth.rate / self.direct.rate


def together(rounds: Iterable[EngineRound]) -> EngineRound:
    """All pairs as one."""
    tokens, seconds = zip(*rounds, strict=True)
    return EngineRound(sum(tokens), sum(seconds))


def overall(pairs: Sequence[EnginePair]) -> EnginePair:
    """All tokens divided by all seconds, for each way."""
    through_berth, direct = zip(*pairs, strict=True)
    return EnginePair(together(through_berth), together(direct))


def standard_error(pairs: Sequence[EnginePair]) -> float:
    """The standard error of the mean of the pairs' ratios. There must be two pairs or more."""
    return statistics.stdev(pair.ratio for pair in pairs) / math.sqrt(len(pairs))


def body(engine: str, clients: int) -> dict[str, Any]:
    """The request. It is the same for both ways."""
    load = LOADS[engine]
    return {
        "model": load.model,
        "messages": [{"role": "user", "content": "Write a long story about the sea."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": load.tokens[clients],
        "temperature": 0,
        "top_p": 1,
    }


def usage_of(line: bytes) -> int | None:
    """The number of tokens that this line of an event stream states. None: it states none. Raises AnswerError."""
    if not line.startswith(b"data: {") or (b'"usage"' not in line and b'"error"' not in line):
        return None
    chunk: dict[str, Any] = json.loads(line.removeprefix(b"data:"))
    if chunk.get("error"):
        raise AnswerError(f"the answer broke off: {chunk['error']}")
    usage = chunk.get("usage")
    return usage["completion_tokens"] if usage else None


async def tokens_of(session: aiohttp.ClientSession, way: Way) -> int:
    """The number of tokens of one streamed answer. Raises AnswerError."""
    async with session.post(f"{way.url}/v1/chat/completions", json=way.request, headers=way.headers) as response:
        if response.status != 200:
            raise AnswerError(f"{way.url} answered with status {response.status}: {(await response.text())[:1000]}")
        tokens = None
        async for line in response.content:
            stated = usage_of(line)
            tokens = tokens if stated is None else stated
    if not tokens:
        raise AnswerError(f"{way.url} ended its answer without saying how many tokens it has")
    return tokens


async def play(session: aiohttp.ClientSession, way: Way, clients: int) -> EngineRound:
    """One round of so many clients at once."""
    started = time.monotonic()
    counts = await asyncio.gather(*(tokens_of(session, way) for _ in range(clients)))
    return EngineRound(sum(counts), time.monotonic() - started)


async def pair(
    session: aiohttp.ClientSession, through: Way, direct: Way, clients: int, *, direct_first: bool
) -> EnginePair:
    """One round each way."""
    if direct_first:
        direct_round = await play(session, direct, clients)
        return EnginePair(await play(session, through, clients), direct_round)
    return EnginePair(await play(session, through, clients), await play(session, direct, clients))


async def measure(release: Release, engine: str, clients: int, seconds: float) -> list[EnginePair]:
    """Makes pairs of rounds with one engine, for so long."""
    plain = body(engine, clients)
    key = {"Authorization": f"Bearer {release.api_key}"}
    through = Way(release.url, {**plain, "backend": engine, "device": "cpu", "ttl": 3600}, key)
    pairs: list[EnginePair] = []
    # llama-server closes a connection after a stream without having said so, and whoever reuses it at once finds it
    # gone.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as session:
        await tokens_of(session, through)  # starts the engine
        [deployment] = [each for each in await release.deployments() if each.spec.backend == engine]
        own_key = {"Authorization": f"Bearer {release.engine_key(deployment.name)}"}
        direct = Way(deployment.status.endpoint or "", plain, own_key)
        await pair(session, through, direct, clients, direct_first=False)  # warms both, and is not counted
        print(f"{engine}, {clients} at once: {seconds:.0f} s of rounds", file=sys.stderr, flush=True)
        ends = time.monotonic() + seconds
        while len(pairs) < FEWEST_PAIRS or len(pairs) % 2 or time.monotonic() < ends:
            pairs.append(await pair(session, through, direct, clients, direct_first=len(pairs) % 2 == 1))
    return pairs


def table(results: dict[str, dict[int, list[EnginePair]]]) -> str:
    """The rates for people, with the ratios of single pairs: their number, median and range."""
    lines = [
        f"{'tokens/s':16}{'clients':>8}{'direct':>9}{'Berth':>9}{'ratio':>8}{'+-':>7}{'pairs':>8}{'p50':>8}{'min':>7}{'max':>7}"
    ]
    for engine, by_clients in results.items():
        for clients, pairs in by_clients.items():
            whole, ratios = overall(pairs), [pair.ratio for pair in pairs]
            rates = (
                f"{whole.direct.rate:9.1f}{whole.through_berth.rate:9.1f}{whole.ratio:8.3f}{standard_error(pairs):7.3f}"
            )
            single = f"{len(pairs):8}{statistics.median(ratios):8.3f}{min(ratios):7.3f}{max(ratios):7.3f}"
            lines.append(f"{engine:16}{clients:8}{rates}{single}")
    return "\n".join(lines)


def result(results: dict[str, dict[int, list[EnginePair]]]) -> str:
    """The ratios as one JSON object."""
    return json.dumps(
        {
            f"{engine}_c{clients}": round(overall(pairs).ratio, 3)
            for engine, by_clients in results.items()
            for clients, pairs in by_clients.items()
        }
    )


async def run(
    engines: Sequence[str], numbers_of_clients: Sequence[int], seconds: float
) -> dict[str, dict[int, list[EnginePair]]]:
    """Measures one engine after the other, each alone on the node."""
    kubectl = require_test_cluster()
    results: dict[str, dict[int, list[EnginePair]]] = {}
    with installed(kubectl, built_images()) as release:
        cluster = await KubernetesCluster.connect(release.kubectl.namespace)
        release.watch_with(cluster)
        try:
            for engine in engines:
                results[engine] = {}
                for clients in numbers_of_clients:
                    results[engine][clients] = await measure(release, engine, clients, seconds)
                    print(table({engine: {clients: results[engine][clients]}}), file=sys.stderr, flush=True)
                await release.clear()
        finally:
            await release.clear()
            await cluster.close()
    return results


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS} s each instead of {SECONDS}")
    parser.add_argument("--engine", action="append", choices=list(LOADS), help="only this engine; may be repeated")
    parser.add_argument(
        "--clients", action="append", type=int, choices=CLIENTS, help="only so many clients; may be repeated"
    )
    arguments = parser.parse_args()
    seconds = QUICK_SECONDS if arguments.quick else SECONDS
    try:
        results = asyncio.run(run(arguments.engine or list(LOADS), arguments.clients or CLIENTS, seconds))
    except AnswerError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    print(result(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
