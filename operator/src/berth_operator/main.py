"""The command `berth-operator`."""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from prometheus_client import start_http_server

from berth_cluster.cluster import ClusterError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_operator.deployments.readiness import EngineProber
from berth_operator.deployments.reconciler import DeploymentReconciler, Room
from berth_operator.deployments.view import DeploymentView
from berth_operator.downloads import DownloadMetrics, DownloadReconciler, ProgressReader
from berth_operator.forecast_server import forecasts
from berth_operator.handlers import PROGRAM, run_kopf
from berth_operator.room.memory_estimates import GpuPreflight, MemoryEstimates, cluster_surroundings
from berth_operator.room.model_files import ModelFiles
from berth_operator.room.node_watch import NodeWatch
from berth_operator.room.places import NodePlaces, Places
from berth_operator.settings import OperatorSettings
from berth_process.log import configure_log
from berth_process.settings_error import EXIT_WRONG_SETTINGS, SettingsError

DEFAULT_CONFIG = "/etc/berth/operator.yaml"


def main() -> int:
    """Runs the operator until a signal ends it. Exit code 2: the settings are wrong; 1: there is no cluster."""
    configure_log(sys.stdout, "INFO", libraries="WARNING")
    try:
        settings = OperatorSettings.load(Path(os.environ.get("BERTH_CONFIG") or DEFAULT_CONFIG))
        uvloop.run(_run(settings))
    except SettingsError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTINGS
    except ClusterError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: OperatorSettings) -> None:
    cluster = await KubernetesCluster.connect(settings.namespace, program=PROGRAM)
    metrics = DownloadMetrics()
    if settings.metrics_port:
        _serve_metrics(settings.metrics_port, metrics)
    async with EngineProber() as prober, ProgressReader() as reader:
        view = DeploymentView(cluster)
        nodes = NodeWatch(cluster, cluster.namespace, settings.devices) if settings.room.watch_nodes else None
        room = _room(settings, nodes or NodePlaces(settings.devices))
        deployments = DeploymentReconciler(view, prober, settings, room=room)
        downloads = DownloadReconciler(cluster, reader, settings, metrics)
        try:
            async with forecasts(deployments.forecast, settings.forecast_port), asyncio.TaskGroup() as group:
                following = [group.create_task(view.run(), name="follow deployments")]
                if nodes:
                    following.append(group.create_task(nodes.run(), name="follow nodes"))
                await run_kopf(downloads.wake, cluster.namespace, settings.health_port)
                for task in following:
                    task.cancel()
        finally:
            await asyncio.gather(deployments.close(), downloads.close())
            await cluster.close()


def _room(settings: OperatorSettings, places: Places) -> Room:
    rules = settings.room.rules(settings.devices)
    if settings.model_store.path is None:
        return Room(places, rules)
    files = ModelFiles(Path(settings.model_store.path))
    estimates = MemoryEstimates(files, cluster_surroundings(settings.devices))
    return Room(places, rules, estimates, GpuPreflight(files, settings, places))


def _serve_metrics(port: int, metrics: DownloadMetrics) -> None:
    try:
        start_http_server(port, registry=metrics.registry)
    except OSError as error:
        raise SettingsError(f"metricsPort is {port}: it must be a port that is free ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
