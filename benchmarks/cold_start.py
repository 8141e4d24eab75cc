"""The time from a request for a model that nobody declared to the first token of its answer, step by step.

    uv run python -m benchmarks.cold_start [--quick]

Installs the chart in a namespace of its own in the cluster that KUBECONFIG names, loads the sample model, and then,
pair by pair:

A. Through Berth: no deployment exists; a streaming chat request goes to the router's Service. The deployment is deleted
   afterwards. B. By hand: the very pod that Berth made in A, without what ties it to Berth, is created with the
   Kubernetes API; as soon as its engine is ready, the same request goes straight to it.

All moments are read on one clock, this process' monotonic one: what the cluster does is stamped when a watch that was
open before shows it; the engine is ready when the benchmark's own probe, every few milliseconds from the moment the
pod's address is known, says so; the first token is the first event of the stream that carries text. In both kinds of
run the engine is a new process that has answered nothing yet, and the page cache holds the weights, since the first
pair is not counted.

Berth's own share of a run is everything but container start and engine:

    share = (request → pod has a node)  +  (engine ready → first token)  -  (engine alone: request → first token, in the
    B run of the pair)

Why that is fair. What lies between, from the node to a ready engine, is the kubelet's, the container runtime's and the
engine's, whoever made the pod; the table has it for both. What is taken off at the end is what a ready engine needs for
this request when nobody stands in between; it varies, so that the share of one pair may even be negative, and only the
median counts. In doubt Berth is charged: with creating and scheduling the pod, which B needs as well; with the delay of
the watch that shows the node; and with every wait for the kubelet after the engine answers. In its favour is only that
the probe sees readiness late, by little more than its pause.

What the share cannot show is whether Berth's work slows the container's start down. So the table ends with A less B,
each from its beginning to the first token: that contains it, and with it the difference between two container starts
and two engines.

The last line is one JSON object, in milliseconds: berth_share_p50_ms; first_token_p50_ms, of A from the request;
engine_alone_p50_ms, of B from creating the pod to the first token.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import aiohttp
import structlog

from benchmarks.chat import AnswerError, ask, ready_at
from benchmarks.cluster_watch import ClusterWatch, Objects
from benchmarks.engine_pod import BY_HAND, copy_without_berth, engine_url, health_url, is_berths, is_by_hand
from benchmarks.installation import built_images, installed, require_test_cluster
from benchmarks.report import result, table
from benchmarks.steps import (
    CLUSTER_STEPS,
    HAND_STEPS,
    Moments,
    StartPair,
    Step,
    berth_share,
    moments_in_cluster,
    pod_address,
    whole,
)
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Cluster, ClusterError, Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.e2e.release import MODEL, Release
from tests.kubectl import KubectlError

RUNS = 20
QUICK_RUNS = 5
RUN_SECONDS = 120
"""A run that takes longer has failed."""

QUESTION = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "stream": True,
    "max_tokens": 4,
    "temperature": 0,
}


class ColdStartBench:
    """Makes single runs, in a release without a deployment."""

    def __init__(self, cluster: Cluster, watch: ClusterWatch, session: aiohttp.ClientSession, release: Release) -> None:
        self._cluster = cluster
        self._watch = watch
        self._session = session
        self._release = release

    async def pair(self) -> StartPair:
        """One run of each kind, which leave nothing behind. Raises AnswerError, ClusterError, TimeoutError."""
        async with asyncio.timeout(RUN_SECONDS):
            through_berth, pod = await self._run_through_berth()
        async with asyncio.timeout(RUN_SECONDS):
            by_hand = await self._run_by_hand(copy_without_berth(pod))
        return StartPair(through_berth, by_hand)

    async def _run_through_berth(self) -> tuple[Moments, Object]:
        """The run's moments, and the pod that Berth made for it."""
        self._watch.forget()
        engine = asyncio.create_task(self._engine_ready(is_berths))
        try:
            asked = await ask(self._release.url, QUESTION, self._release.api_key)
            ready, pod = await engine
        finally:
            engine.cancel()
        seen = await self._seen(is_berths, CLUSTER_STEPS)
        for deployment in (await self._cluster.list(MODEL_DEPLOYMENTS)).items:
            await self._cluster.delete(MODEL_DEPLOYMENTS, deployment["metadata"]["name"])
        await self._watch.until(_nothing_left)
        return {**seen, Step.REQUESTED: asked.at, Step.ENGINE_READY: ready, Step.FIRST_TOKEN: asked.first_token_at}, pod

    async def _run_by_hand(self, manifest: Object) -> Moments:
        self._watch.forget()
        requested = time.monotonic()
        await self._cluster.create(PODS, manifest)
        ready, pod = await self._engine_ready(is_by_hand)
        asked = await ask(engine_url(pod), QUESTION)
        seen = await self._seen(is_by_hand, [step for step in CLUSTER_STEPS if step in HAND_STEPS])
        await self._cluster.delete(PODS, BY_HAND)
        await self._watch.until(_nothing_left)
        first_token = {Step.ASKED: asked.at, Step.FIRST_TOKEN: asked.first_token_at}
        return {**seen, Step.REQUESTED: requested, Step.ENGINE_READY: ready, **first_token}

    async def _engine_ready(self, is_engine: Callable[[Object], bool]) -> tuple[float, Object]:
        """The moment at which the engine of the one pod of this kind was ready, and the pod."""
        pod = await self._watch.until(
            lambda _, pods: next((each for each in pods.values() if is_engine(each) and pod_address(each)), None)
        )
        return await ready_at(self._session, health_url(pod)), pod

    async def _seen(self, is_engine: Callable[[Object], bool], steps: Sequence[Step]) -> Moments:
        """The moments of these steps, once the watch has shown all of them. It may be later than the answer."""

        def all_seen(*_: Objects) -> Moments | None:
            moments = moments_in_cluster(self._watch.sightings, is_engine=is_engine)
            return moments if all(step in moments for step in steps) else None

        return await self._watch.until(all_seen)


def _nothing_left(deployments: Objects, pods: Objects) -> bool | None:
    engines = [pod for pod in pods.values() if is_berths(pod) or is_by_hand(pod)]
    return None if deployments or engines else True


async def measure(release: Release, runs: int) -> list[StartPair]:
    """So many pairs of runs, after a first one that is not counted."""
    cluster = await KubernetesCluster.connect(release.kubectl.namespace)
    try:
        async with ClusterWatch(cluster) as watch, aiohttp.ClientSession() as session:
            bench = ColdStartBench(cluster, watch, session, release)
            await bench.pair()
            pairs: list[StartPair] = []
            for number in range(1, runs + 1):
                pair = await bench.pair()
                pairs.append(pair)
                _say(
                    f"run {number} of {runs}: first token after {whole(pair.through_berth) * 1000:.0f} ms, "
                    f"by hand after {whole(pair.by_hand) * 1000:.0f} ms; "
                    f"Berth's share {berth_share(pair).whole * 1000:.0f} ms"
                )
            return pairs
    finally:
        await cluster.close()


def main() -> int:
    """Measures and prints. Exit code 1: a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_start", description="The time to the first token of a cold model."
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} pairs of runs instead of {RUNS}")
    runs = QUICK_RUNS if parser.parse_args().quick else RUNS
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for the result
    kubectl = require_test_cluster()
    try:
        with installed(kubectl, built_images()) as release:
            load_before = os.getloadavg()[0]
            pairs = asyncio.run(measure(release, runs))
            load_after = os.getloadavg()[0]
    except (AnswerError, ClusterError, KubectlError, TimeoutError, subprocess.SubprocessError) as error:
        print(
            f"benchmarks.cold_start: {type(error).__name__}: {str(error) or f'a run took more than {RUN_SECONDS} s'}",
            file=sys.stderr,
        )
        return 1
    print(
        f"Cold start, {runs} pairs of runs on {os.cpu_count()} cores; "
        f"load average {load_before:.1f} before, {load_after:.1f} after\n"
    )
    print(table(pairs))
    print()
    print(result(pairs))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
