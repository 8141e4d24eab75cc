"""The `berth-router` command."""

import gc
import logging
import os
import signal
import socket
import sys

import structlog
import uvloop

from berth_cluster.cluster import Cluster, ClusterError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_process.settings_error import EXIT_WRONG_SETTINGS, SettingsError, shown
from berth_router.app import Router
from berth_router.serving.signals import ending_signals
from berth_router.settings import RouterSettings

_log = structlog.get_logger(__name__)


def configure_logging(level: str) -> None:
    """One JSON object a line on stdout, from this code and from libraries alike."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _calm_garbage_collection() -> None:
    """Keeps the collector from walking all modules every few requests.

    What is loaded by now stays for ever; what requests leave behind is mostly freed by reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(settings: RouterSettings) -> None:
    """Serves until a signal ends it. Raises ClusterError where there is no cluster, OSError where the port is taken."""
    cluster = await KubernetesCluster.connect(settings.namespace)
    try:
        await serve(cluster, settings)
    finally:
        await cluster.close()


async def serve(cluster: Cluster, settings: RouterSettings) -> None:
    """Serves what this cluster holds until a signal ends it. Raises OSError where the port is taken."""
    router = Router(cluster, settings)
    with listen(settings.host, settings.port) as listener, ending_signals((signal.SIGINT, signal.SIGTERM)) as ending:
        async with router.serving(listener) as server:
            _calm_garbage_collection()
            _log.info("router_started", port=settings.port, replica=settings.replica)
            await ending.told.wait()
            _log.info("router_draining", seconds=settings.drain_seconds, in_flight=server.in_flight)
            await router.drain(server, settings.drain_seconds, settings.lame_duck_seconds, ending.hurry)


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to this address, of either family. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6() and host == "::"
    return socket.create_server((host, port), family=family, dualstack_ipv6=both, reuse_port=False)


def main() -> int:
    """Runs the router with the settings of the environment. Exit code 2: they are wrong; 1: there is no cluster, or the port
    is taken."""
    try:
        settings = RouterSettings.of_environment()
        _check_keys_folder(settings)
        configure_logging(settings.log_level)
        uvloop.run(run(settings))
    except SettingsError as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTINGS
    except (ClusterError, OSError) as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return 1
    return 0


def _check_keys_folder(settings: RouterSettings) -> None:
    """Raises SettingsError where there are to be keys, but no folder with them: nobody could ever be let in."""
    folder = settings.api_keys_dir
    if folder is not None and not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)):
        raise SettingsError(f"BERTH_API_KEYS_DIR is {shown(str(folder))}: it must be a folder that the router may read")
