"""Tokens a second through Berth beside the very same engine asked directly, at one client and at eight.

    uv run python -m benchmarks.engines [--quick] [--engine NAME]...

Installs the chart in a namespace of its own in the cluster that KUBECONFIG names and has each engine started by a request. Then rounds
alternate between the router's Service and the engine's own address: in each, 1 or 8 clients stream an answer of the same length, one after
the other. A token is an event that carries text. Both kinds of round meet the same engine process, the same prompts and the same client, so
that their ratio is what Berth costs; its median over the pairs is reported.

The last line is one JSON object: `<engine>_c1` and `<engine>_c8`, tokens a second through Berth by tokens a second direct.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.chat import AnswerError, text_of
from benchmarks.installation import built_images, installed, require_test_cluster
from berth_api.kubernetes_cluster import KubernetesCluster
from tests.e2e.release import Release

GGUF = "/models/SmolLM2-135M-Instruct"
SAFETENSORS = "/models/SmolLM2-135M-Instruct-safetensors"
MODELS = {"llamacpp": GGUF, "vllm": SAFETENSORS, "transformers": SAFETENSORS}
CLIENTS = (1, 8)
PAIRS = 8
QUICK_PAIRS = 3
TOKENS = 48


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of one pair of rounds."""

    through_berth: float
    direct: float

    @property
    def ratio(self) -> float:
        """What is left of the engine's rate through Berth."""
        return self.through_berth / self.direct


def body(engine: str) -> dict[str, Any]:
    """The request, the same for both ways."""
    return {
        "model": MODELS[engine],
        "messages": [{"role": "user", "content": "Write a long story about the sea."}],
        "stream": True,
        "max_tokens": TOKENS,
        "temperature": 0,
        "top_p": 1,
    }


async def tokens_of(session: aiohttp.ClientSession, url: str, request: dict[str, Any], headers: dict[str, str]) -> int:
    """Tokens of one streamed answer. Raises AnswerError."""
    async with session.post(f"{url}/v1/chat/completions", json=request, headers=headers) as response:
        if response.status != 200:
            raise AnswerError(f"{url} answered with status {response.status}: {(await response.text())[:1000]}")
        return sum([1 async for line in response.content if text_of(line)])


async def rate(session: aiohttp.ClientSession, url: str, request: dict[str, Any], headers: dict[str, str], clients: int) -> float:
    """Tokens a second of so many clients at once."""
    started = time.monotonic()
    counts = await asyncio.gather(*(tokens_of(session, url, request, headers) for _ in range(clients)))
    return sum(counts) / (time.monotonic() - started)


async def measure(release: Release, engine: str, pairs: int) -> dict[int, list[Rates]]:
    """The pairs of rounds of one engine, by the number of clients."""
    plain = body(engine)
    through = {**plain, "backend": engine, "device": "cpu", "ttl": 3600}
    key = {"Authorization": f"Bearer {release.api_key}"}
    results: dict[int, list[Rates]] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        await tokens_of(session, release.url, through, key)  # starts the engine, and is not counted
        [deployment] = [each for each in await release.deployments() if each.spec.backend == engine]
        endpoint = deployment.status.endpoint or ""
        for clients in CLIENTS:
            results[clients] = []
            for _ in range(pairs):
                through_berth = await rate(session, release.url, through, key, clients)
                results[clients].append(Rates(through_berth, await rate(session, endpoint, plain, {}, clients)))
    return results


def table(results: dict[str, dict[int, list[Rates]]]) -> str:
    """Medians for people."""
    lines = [f"{'tokens/s, p50':24}{'clients':>8}{'direct':>10}{'Berth':>10}{'ratio':>8}{'min':>8}{'max':>8}"]
    for engine, by_clients in results.items():
        for clients, rates in by_clients.items():
            ratios = [pair.ratio for pair in rates]
            direct, berth = (
                statistics.median(values) for values in zip(*((pair.direct, pair.through_berth) for pair in rates), strict=True)
            )
            lines.append(
                f"{engine:24}{clients:8}{direct:10.1f}{berth:10.1f}{statistics.median(ratios):8.3f}{min(ratios):8.3f}{max(ratios):8.3f}"
            )
    return "\n".join(lines)


def result(results: dict[str, dict[int, list[Rates]]]) -> str:
    """One JSON object of the ratios."""
    return json.dumps(
        {
            f"{engine}_c{clients}": round(statistics.median(pair.ratio for pair in rates), 3)
            for engine, by_clients in results.items()
            for clients, rates in by_clients.items()
        }
    )


async def run(engines: list[str], pairs: int) -> dict[str, dict[int, list[Rates]]]:
    """Measures the engines one after the other, each alone on the node."""
    kubectl = require_test_cluster()
    results: dict[str, dict[int, list[Rates]]] = {}
    with installed(kubectl, built_images()) as release:
        cluster = await KubernetesCluster.connect(release.kubectl.namespace)
        release.watch_with(cluster)
        try:
            for engine in engines:
                print(f"{engine}: {pairs} pairs at {' and '.join(map(str, CLIENTS))} clients", file=sys.stderr)
                results[engine] = await measure(release, engine, pairs)
                await release.clear()
        finally:
            await release.clear()
            await cluster.close()
    return results


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs instead of {PAIRS}")
    parser.add_argument("--engine", action="append", choices=list(MODELS), help="only this engine; may be repeated")
    arguments = parser.parse_args()
    try:
        results = asyncio.run(run(arguments.engine or list(MODELS), QUICK_PAIRS if arguments.quick else PAIRS))
    except AnswerError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    print(result(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
