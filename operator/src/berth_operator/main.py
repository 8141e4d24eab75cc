"""The command `berth-operator`."""

import asyncio
import os
import secrets
import socket
import sys
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry, start_http_server

from berth_cluster.cluster import Cluster, ClusterError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_operator.deployments.readiness import EngineProber
from berth_operator.deployments.reconciler import DeploymentReconciler, Room
from berth_operator.deployments.view import DeploymentView
from berth_operator.downloads import DownloadMetrics, DownloadReconciler, ProgressReader
from berth_operator.election.elector import Elector
from berth_operator.election.fenced_cluster import fenced
from berth_operator.election.leading import campaign_unless, lead
from berth_operator.election.rules import Terms
from berth_operator.forecast_server import Forecasts
from berth_operator.handlers import PROGRAM, run_kopf
from berth_operator.listening import health, listening
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_operator.room.memory_estimates import GpuPreflight, MemoryEstimates, cluster_surroundings, fault_in
from berth_operator.room.model_files import ModelFiles
from berth_operator.room.node_watch import NodeWatch
from berth_operator.room.places import NodePlaces, Places
from berth_operator.settings import OperatorSettings
from berth_process.log import configure_log
from berth_process.settings_error import EXIT_WRONG_SETTINGS, SettingsError
from berth_process.stop_signals import stop_events

DEFAULT_CONFIG = "/etc/berth/operator.yaml"


class OperatorMetrics:
    """All metrics of the program."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.rounds = ReconcileMetrics(registry)
        self.downloads = DownloadMetrics(registry)


def main() -> int:
    """Runs the operator until a signal ends it.

    Exit code 2: the settings are wrong; 1: there is no cluster, or another operator may lead by now.
    """
    configure_log(sys.stdout, "INFO", libraries="WARNING")
    try:
        settings = OperatorSettings.load(Path(os.environ.get("BERTH_CONFIG") or DEFAULT_CONFIG))
        if not uvloop.run(_run(settings)):
            print("berth-operator: it leads no more: another operator may lead by now", file=sys.stderr)
            return 1
    except SettingsError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTINGS
    except ClusterError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: OperatorSettings) -> bool:
    """Until a signal ends the program. False: this operator has led, and leads no more."""
    cluster = await KubernetesCluster.connect(settings.namespace, program=PROGRAM)
    try:
        metrics = OperatorMetrics(CollectorRegistry())
        if settings.metrics_port:
            _serve_metrics(settings.metrics_port, metrics.registry)
        elector = _elector(cluster, settings)
        forecasts = Forecasts(lambda: _url(elector.leader_address, settings.forecast_port) if elector else None)
        async with (
            listening(health(), settings.health_port, "healthPort"),
            listening(forecasts.application(), settings.forecast_port, "forecastPort"),
        ):
            if elector is None:
                await _operate(cluster, cluster.namespace, settings, forecasts, metrics)
                return True
            with stop_events() as signals:
                if not await campaign_unless(signals.stop, elector):
                    return True
            while_leading = fenced(cluster, lambda: elector.leads)
            return await lead(elector, lambda: _operate(while_leading, cluster.namespace, settings, forecasts, metrics))
    finally:
        await cluster.close()


async def _operate(
    cluster: Cluster, namespace: str, settings: OperatorSettings, forecasts: Forecasts, metrics: OperatorMetrics
) -> None:
    """The work of the operator, until a signal ends it."""
    keyring = settings.engine_keys.keyring
    prober_of_cluster = EngineProber(lambda _, owner: keyring.key(owner)) if keyring else EngineProber()
    async with prober_of_cluster as prober, ProgressReader() as reader:
        view = DeploymentView(cluster)
        nodes = NodeWatch(cluster, namespace, settings.devices) if settings.room.watch_nodes else None
        files = ModelFiles(Path(settings.model_store.path)) if settings.model_store.path else None
        room = _room(settings, nodes or NodePlaces(settings.devices), files)
        fault_of = fault_in(files) if files else None
        deployments = DeploymentReconciler(view, prober, settings, room=room, metrics=metrics.rounds, fault_of=fault_of)
        downloads = DownloadReconciler(cluster, reader, settings, metrics.downloads, rounds=metrics.rounds)
        forecasts.forecaster = deployments.forecast
        metrics.rounds.leads(now=True)
        try:
            async with asyncio.TaskGroup() as group:
                following = [group.create_task(view.run(), name="follow deployments")]
                if nodes:
                    following.append(group.create_task(nodes.run(), name="follow nodes"))
                await run_kopf(downloads.wake, namespace)
                for task in following:
                    task.cancel()
        finally:
            forecasts.forecaster = None
            await asyncio.gather(deployments.close(), downloads.close())


def _elector(cluster: Cluster, settings: OperatorSettings) -> Elector | None:
    """None: there is no other operator, and so no election."""
    election = settings.election
    if election.lease is None:
        return None
    # A container that is started again in the same pod is the same candidate: its earlier life is over.
    me = os.environ.get("POD_NAME") or f"{socket.gethostname()}-{secrets.token_hex(4)}"
    terms = Terms(election.lasts, election.renew_within, election.look_every)
    return Elector(cluster, election.lease, me, os.environ.get("POD_IP", ""), terms=terms)


def _url(address: str, port: int) -> str | None:
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}" if address and port else None


def _room(settings: OperatorSettings, places: Places, files: ModelFiles | None) -> Room:
    rules = settings.room.rules(settings.devices)
    if files is None:
        return Room(places, rules)
    estimates = MemoryEstimates(files, cluster_surroundings(settings.devices))
    return Room(places, rules, estimates, GpuPreflight(files, settings, places))


def _serve_metrics(port: int, registry: CollectorRegistry) -> None:
    try:
        start_http_server(port, registry=registry)
    except OSError as error:
        raise SettingsError(f"metricsPort is {port}: it must be a port that is free ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
