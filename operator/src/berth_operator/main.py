"""The command `berth-operator`."""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from prometheus_client import start_http_server

from berth_api.cluster import ClusterError
from berth_api.json_log import configure_json_log
from berth_api.kubernetes_cluster import KubernetesCluster
from berth_operator.downloads import DownloadMetrics, DownloadReconciler, ProgressReader
from berth_operator.handlers import run_kopf
from berth_operator.readiness import EngineProber
from berth_operator.reconciler import Reconciler
from berth_operator.settings import Settings, SettingsError

DEFAULT_CONFIG = "/etc/berth/operator.yaml"


def main() -> int:
    """Runs the operator until it is told to end. Exit code 2: the settings are wrong; 1: there is no cluster."""
    configure_json_log()
    try:
        settings = Settings.load(Path(os.environ.get("BERTH_CONFIG", DEFAULT_CONFIG)))
        uvloop.run(_run(settings))
    except SettingsError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return 2
    except ClusterError as error:
        print(f"berth-operator: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    cluster = await KubernetesCluster.connect(settings.namespace)
    metrics = DownloadMetrics()
    if settings.metrics_port:
        start_http_server(settings.metrics_port, registry=metrics.registry)
    async with EngineProber() as prober, ProgressReader() as reader:
        deployments = Reconciler(cluster, prober, settings)
        downloads = DownloadReconciler(cluster, reader, settings, metrics)
        try:
            await run_kopf(deployments.wake, downloads.wake, cluster.namespace, settings.health_port)
        finally:
            await asyncio.gather(deployments.close(), downloads.close())
            await cluster.close()


if __name__ == "__main__":
    sys.exit(main())
