"""Tokens a second through Berth beside the very same engine asked directly, at one client and at eight.

    uv run python -m benchmarks.engines [--quick] [--engine NAME]... [--clients N]...

Installs the chart in a namespace of its own in the cluster that KUBECONFIG names and has each engine started by a request. Then rounds
alternate between the router's Service and the engine's own address: in each, 1 or 8 clients stream an answer of the same length. Both kinds
of round meet the same engine process, the same prompts and the same client, so that their ratio is what Berth costs. What else could tell
the two apart is taken out: both are warmed first, they take turns at going first, and a pause after each round has what it leaves behind
(the router's report that the model is idle) fall into no other. The tokens are those that the engine itself counts.

Single rounds differ by a tenth and more on a shared machine. What is reported is all tokens by all seconds of the rounds of each way.

The last line is one JSON object: `<engine>_c1` and `<engine>_c8`, tokens a second through Berth by tokens a second direct.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from benchmarks.chat import AnswerError
from benchmarks.installation import built_images, installed, require_test_cluster
from berth_api.kubernetes_cluster import KubernetesCluster
from tests.e2e.release import MODEL, SAFETENSORS, Release


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of an engine."""

    model: str
    tokens: int
    """Of one answer: so many that it takes seconds, since most of an answer is not its beginning."""


LOADS = {"llamacpp": Load(MODEL, 256), "vllm": Load(SAFETENSORS, 96), "transformers": Load(SAFETENSORS, 24)}
PAIRS = {1: 40, 8: 10}
"""By the number of clients. One client's rate varies more from round to round."""

QUICK_PAIRS = 4
PAUSE = 1.0
"""Seconds after a round: a router reports 0.3 s after the last request that none is left, and the operator reads it."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the engine."""

    url: str
    request: dict[str, Any]
    headers: dict[str, str]


class Round(NamedTuple):
    """What one round brought."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


class Pair(NamedTuple):
    """One round each way."""

    through_berth: Round
    direct: Round

    @property
    def ratio(self) -> float:
        """What is left of the engine's rate through Berth."""
        return self.through_berth.rate / self.direct.rate


def together(rounds: Iterable[Round]) -> Round:
    """All of them as one."""
    tokens, seconds = zip(*rounds, strict=True)
    return Round(sum(tokens), sum(seconds))


def overall(pairs: Sequence[Pair]) -> Pair:
    """All tokens by all seconds, each way."""
    through_berth, direct = zip(*pairs, strict=True)
    return Pair(together(through_berth), together(direct))


def body(engine: str) -> dict[str, Any]:
    """The request, the same for both ways."""
    load = LOADS[engine]
    return {
        "model": load.model,
        "messages": [{"role": "user", "content": "Write a long story about the sea."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": load.tokens,
        "temperature": 0,
        "top_p": 1,
    }


def usage_of(line: bytes) -> int | None:
    """The tokens that an answer is said to have, in the line of its event stream that says it. Raises AnswerError."""
    if not line.startswith(b"data: {") or (b'"usage"' not in line and b'"error"' not in line):
        return None
    chunk: dict[str, Any] = json.loads(line.removeprefix(b"data:"))
    if chunk.get("error"):
        raise AnswerError(f"the answer broke off: {chunk['error']}")
    usage = chunk.get("usage")
    return usage["completion_tokens"] if usage else None


async def tokens_of(session: aiohttp.ClientSession, way: Way) -> int:
    """Tokens of one streamed answer. Raises AnswerError."""
    async with session.post(f"{way.url}/v1/chat/completions", json=way.request, headers=way.headers) as response:
        if response.status != 200:
            raise AnswerError(f"{way.url} answered with status {response.status}: {(await response.text())[:1000]}")
        tokens = None
        async for line in response.content:
            told = usage_of(line)
            tokens = tokens if told is None else told
    if not tokens:
        raise AnswerError(f"{way.url} ended its answer without saying how many tokens it has")
    return tokens


async def play(session: aiohttp.ClientSession, way: Way, clients: int) -> Round:
    """A round of so many clients at once."""
    started = time.monotonic()
    counts = await asyncio.gather(*(tokens_of(session, way) for _ in range(clients)))
    taken = time.monotonic() - started
    await asyncio.sleep(PAUSE)
    return Round(sum(counts), taken)


async def pair(session: aiohttp.ClientSession, through: Way, direct: Way, clients: int, *, direct_first: bool) -> Pair:
    """One round each way."""
    if direct_first:
        direct_round = await play(session, direct, clients)
        return Pair(await play(session, through, clients), direct_round)
    return Pair(await play(session, through, clients), await play(session, direct, clients))


async def measure(release: Release, engine: str, pairs: dict[int, int]) -> dict[int, list[Pair]]:
    """The pairs of rounds of one engine, by the number of clients."""
    plain = body(engine)
    key = {"Authorization": f"Bearer {release.api_key}"}
    through = Way(release.url, {**plain, "backend": engine, "device": "cpu", "ttl": 3600}, key)
    results: dict[int, list[Pair]] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        await tokens_of(session, through)  # starts the engine
        [deployment] = [each for each in await release.deployments() if each.spec.backend == engine]
        direct = Way(deployment.status.endpoint or "", plain, {})
        for clients, count in pairs.items():
            await pair(session, through, direct, clients, direct_first=False)  # warms both, and is not counted
            results[clients] = []
            for number in range(count):
                rounds = await pair(session, through, direct, clients, direct_first=number % 2 == 1)
                results[clients].append(rounds)
                told = f"{rounds.through_berth.rate:.1f} of {rounds.direct.rate:.1f} tokens/s"
                print(f"{engine}, {clients} clients, pair {number + 1}: {told}", file=sys.stderr, flush=True)
    return results


def table(results: dict[str, dict[int, list[Pair]]]) -> str:
    """The rates for people, with the ratios of single pairs: their median and their range."""
    lines = [f"{'tokens/s':16}{'clients':>8}{'direct':>9}{'Berth':>9}{'ratio':>8}{'pairs: p50':>12}{'min':>7}{'max':>7}"]
    for engine, by_clients in results.items():
        for clients, pairs in by_clients.items():
            whole, ratios = overall(pairs), [pair.ratio for pair in pairs]
            rates = f"{whole.direct.rate:9.1f}{whole.through_berth.rate:9.1f}{whole.ratio:8.3f}"
            lines.append(f"{engine:16}{clients:8}{rates}{statistics.median(ratios):12.3f}{min(ratios):7.3f}{max(ratios):7.3f}")
    return "\n".join(lines)


def result(results: dict[str, dict[int, list[Pair]]]) -> str:
    """One JSON object of the ratios."""
    return json.dumps(
        {
            f"{engine}_c{clients}": round(overall(pairs).ratio, 3)
            for engine, by_clients in results.items()
            for clients, pairs in by_clients.items()
        }
    )


async def run(engines: list[str], pairs: dict[int, int]) -> dict[str, dict[int, list[Pair]]]:
    """Measures the engines one after the other, each alone on the node."""
    kubectl = require_test_cluster()
    results: dict[str, dict[int, list[Pair]]] = {}
    with installed(kubectl, built_images()) as release:
        cluster = await KubernetesCluster.connect(release.kubectl.namespace)
        release.watch_with(cluster)
        try:
            for engine in engines:
                results[engine] = await measure(release, engine, pairs)
                print(table({engine: results[engine]}), file=sys.stderr)
                await release.clear()
        finally:
            await release.clear()
            await cluster.close()
    return results


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs instead of {' and '.join(map(str, PAIRS.values()))}")
    parser.add_argument("--engine", action="append", choices=list(LOADS), help="only this engine; may be repeated")
    parser.add_argument("--clients", action="append", type=int, choices=list(PAIRS), help="only so many clients; may be repeated")
    arguments = parser.parse_args()
    pairs = {clients: QUICK_PAIRS if arguments.quick else PAIRS[clients] for clients in arguments.clients or PAIRS}
    try:
        results = asyncio.run(run(arguments.engine or list(LOADS), pairs))
    except AnswerError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    print(result(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
