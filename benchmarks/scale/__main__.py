"""What ten thousand deployments cost.

    uv run python -m benchmarks.scale [--quick] [--deployments N] [--creations N] [--logs FOLDER]

On a real API server: `scripts/cluster up`, `eval "$(scripts/cluster env)"`. In a namespace of its own, 10,000
ModelDeployments are made that sleep. An operator and a router run as processes beside it. Measured are:

- event to pod: from a new deployment's event to its pod's, both as this process's watches show them, one creation after
  the other; in turns with them the raw API: the creation of the same pod by this process until its event. The figure is
  the p99 of the former less that of the latter.
- memory: resident, of both processes; the operator's at each step.
- writes for a creation: of the operator, counted by the API server itself (a flow schema for each kind of object and
  account), whatever they changed. No node takes the pods: their deployments are left in their start.
- writes and reads when idle: of both, for a minute; a watch that begins anew is one read.
- a restart: the deployments are as an operator has left them, but for a sample, one in a hundred and the last, of which
  there is more to say. From the start of the operator until the status of each has it.

The last line is one JSON object: event_to_pod_p99_ms, operator_rss_mib, writes_per_creation, idle_writes_per_s,
idle_reads_per_s. The exit code is 1 where one is over its bound. --quick: 300 deployments. Only a quiet machine gives
figures to rely on.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.installation import require_test_cluster
from benchmarks.scale import programs
from benchmarks.scale.objects import (
    EVENT,
    PART,
    RAW,
    SAMPLE,
    deployment,
    make_sleeping,
    raw_pod,
)
from benchmarks.scale.report import ScaleFigures, last_line, over_bounds
from benchmarks.scale.sightings import Sightings, watching
from berth_api.identity import pod_name
from berth_cluster.cluster import LABEL_MANAGED_BY, MODEL_DEPLOYMENTS, PODS, Cluster, Object
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.conftest import make_namespace
from tests.kubectl import Kubectl

_ROUTER_PORT = 18080
_QUIET_SECONDS = 5.0


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 deployments, and less time")
    parser.add_argument("--deployments", type=int, help="how many sleep")
    parser.add_argument("--creations", type=int, default=100)
    parser.add_argument("--logs", type=Path, help="a folder for the programs' logs, which are otherwise removed")
    options = parser.parse_args()
    figures = ScaleFigures(options.deployments or (300 if options.quick else 10_000))
    cluster_wide = require_test_cluster()
    cluster_wide.run("apply", "--server-side", "--force-conflicts", "-f", "crds/")
    cluster_wide.run("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds/")
    kubectl = make_namespace(cluster_wide, f"berth-scale-{secrets.token_hex(3)}")
    with tempfile.TemporaryDirectory(prefix="berth-scale-") as folder:
        if options.logs:
            options.logs.mkdir(parents=True, exist_ok=True)
        try:
            programs.prepare(kubectl)
            asyncio.run(
                _measured(
                    figures, kubectl, options.logs or Path(folder), options.creations, 15 if options.quick else 60
                )
            )
        finally:
            programs.remove(kubectl)
            kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
    print(figures.table())
    over = over_bounds(figures.results())
    print(*over, sep="\n", file=sys.stderr)
    print(last_line(figures))
    return 1 if over else 0


async def _measured(figures: ScaleFigures, kubectl: Kubectl, folder: Path, creations: int, idle_seconds: int) -> None:
    cluster = await KubernetesCluster.connect(kubectl.namespace)
    try:
        _say(f"making {figures.deployments} deployments in {kubectl.namespace}")
        await make_sleeping(cluster, figures.deployments)
        with programs.router(kubectl, folder, _ROUTER_PORT) as router:
            with programs.operator(kubectl, folder) as operator:
                await _until_all_looked_at(figures, cluster)
                await _until_quiet(kubectl)
                figures.operator_mib["all looked at"] = operator.resident_mib()
                _say("creating")
                await _create(figures, cluster, kubectl, creations)
                figures.operator_mib["after the creations"] = operator.resident_mib()
                _say("idle")
                await _idle(figures, kubectl, idle_seconds)
                figures.operator_mib["idle"] = operator.resident_mib()
                figures.operator_peak_mib = operator.peak_mib()
            await _require_in_router(creations)
            figures.router_mib, figures.router_peak_mib = router.resident_mib(), router.peak_mib()
    finally:
        await cluster.close()


async def _create(figures: ScaleFigures, cluster: Cluster, kubectl: Kubectl, creations: int) -> None:
    before = programs.writes(kubectl, programs.OPERATOR)
    async with (
        watching(cluster, MODEL_DEPLOYMENTS, {PART: EVENT}) as deployments,
        watching(cluster, PODS, {LABEL_MANAGED_BY: programs.OPERATOR}) as pods,
        watching(cluster, PODS, {PART: RAW}) as raw_pods,
    ):
        for number in range(creations):
            name = f"event-{number:05d}"
            made = await cluster.create(MODEL_DEPLOYMENTS, deployment(name, EVENT))
            pod = pod_name(name, made["metadata"]["uid"], 1)
            await _until_all_have(deployments, name)
            await _until_all_have(pods, pod)
            figures.event_to_pod.append(pods.at[pod] - deployments.at[name])
            await deployments.until(lambda name=name: _is_starting(deployments.newest[name]))
            began = time.monotonic()
            await cluster.create(PODS, raw_pod(pods.newest[pod], f"raw-{number:05d}"))
            await _until_all_have(raw_pods, f"raw-{number:05d}")
            figures.raw.append(raw_pods.at[f"raw-{number:05d}"] - began)
    await _until_quiet(kubectl)
    after = programs.writes(kubectl, programs.OPERATOR)
    figures.written = {what: after[what] - before[what] for what in after}


async def _until_quiet(kubectl: Kubectl) -> None:
    await asyncio.to_thread(programs.until_quiet, kubectl, programs.OPERATOR, _QUIET_SECONDS)


async def _until_all_have(sightings: Sightings, name: str) -> None:
    await sightings.until(lambda: name in sightings.at)


def _is_starting(item: Object) -> bool:
    return "podName" in (item.get("status") or {})


async def _idle(figures: ScaleFigures, kubectl: Kubectl, seconds: int) -> None:
    accounts = (programs.OPERATOR, programs.ROUTER)

    def asked() -> tuple[int, int]:
        written = sum(sum(programs.writes(kubectl, account).values()) for account in accounts)
        return written, sum(programs.reads(kubectl, account) for account in accounts)

    (written, read), began = await asyncio.to_thread(asked), time.monotonic()
    await asyncio.sleep(seconds)
    written_then, read_then = await asyncio.to_thread(asked)
    figures.idle_writes, figures.idle_reads = written_then - written, read_then - read
    figures.idle_seconds = time.monotonic() - began


async def _require_in_router(count: int) -> None:
    """Raises RuntimeError where the router does not show so many that are loaded: then its memory says nothing."""
    async with httpx2.AsyncClient(timeout=60) as client:
        answer = await client.get(f"http://127.0.0.1:{_ROUTER_PORT}/v1/models/loaded")
        shown = len(answer.raise_for_status().json()["loaded_models"])
        if shown < count:
            raise RuntimeError(f"the router knows {shown} deployments of {count}")


async def _until_all_looked_at(figures: ScaleFigures, cluster: Cluster) -> None:
    """To be called when the operator has just been started."""
    began = time.monotonic()
    async with watching(cluster, MODEL_DEPLOYMENTS, {PART: SAMPLE}) as seen:
        await seen.until(lambda: all(map(_is_observed, seen.newest.values())))
    figures.restarted_seconds = time.monotonic() - began


def _is_observed(item: Object) -> bool:
    return item["status"].get("observedGeneration") == item["metadata"]["generation"]


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
