"""The `berth-router` command."""

import gc
import os
import signal
import socket
import sys

import structlog
import uvloop

from berth_api.engine_key import EngineKeyring
from berth_cluster.cluster import Cluster, ClusterError
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_process.log import configure_log
from berth_process.settings_error import EXIT_WRONG_SETTINGS, SettingsError, shown
from berth_process.stop_signals import stop_events
from berth_router.app import Router
from berth_router.serving.inference import EngineKey, no_key
from berth_router.settings import RouterSettings

_log = structlog.get_logger(__name__)


def _calm_garbage_collection() -> None:
    """Keeps the garbage collector from visiting all modules every few requests.

    What is loaded by now stays for ever, and reference counts free most of what requests leave.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(settings: RouterSettings, engine_key: EngineKey) -> None:
    """Serves until a signal ends it. Raises ClusterError: there is no cluster. Raises OSError: the port is taken."""
    cluster = await KubernetesCluster.connect(settings.namespace, program="berth-router")
    try:
        await serve(cluster, settings, engine_key)
    finally:
        await cluster.close()


async def serve(cluster: Cluster, settings: RouterSettings, engine_key: EngineKey = no_key) -> None:
    """Serves the deployments of this cluster until a signal ends it. Raises OSError: the port is taken."""
    router = Router(cluster, settings, engine_key=engine_key)
    with listen(settings.host, settings.port) as listener, stop_events((signal.SIGINT, signal.SIGTERM)) as signals:
        async with router.serving(listener) as server:
            _calm_garbage_collection()
            _log.info("router_started", port=settings.port, replica=settings.replica)
            await signals.stop.wait()
            _log.info("router_draining", seconds=settings.drain_seconds, in_flight=server.in_flight)
            await router.drain(server, settings.drain_seconds, settings.lame_duck_seconds, signals.hurry)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at this address, IPv4 or IPv6. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6() and host == "::"
    return socket.create_server((host, port), family=family, dualstack_ipv6=both, reuse_port=False)


def main() -> int:
    """Runs the router with the settings of the environment.

    Exit code 2: the settings are wrong. 1: there is no cluster, or the port is taken.
    """
    try:
        settings = RouterSettings.of_environment()
        _check_keys_folder(settings)
        engine_key = _engine_key(settings)
        configure_log(sys.stdout, settings.log_level)
        uvloop.run(run(settings, engine_key))
    except SettingsError as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTINGS
    except (ClusterError, OSError) as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return 1
    return 0


def _engine_key(settings: RouterSettings) -> EngineKey:
    """Raises SettingsError if there is to be a secret, and none can be read."""
    file = settings.engine_key_secret_file
    if file is None:
        return no_key
    try:
        keyring = EngineKeyring(file.read_text().strip())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"BERTH_ENGINE_KEY_SECRET_FILE is {shown(str(file))}, which cannot be used: {why}"
        ) from error
    return lambda deployment: keyring.key(deployment.uid)


def _check_keys_folder(settings: RouterSettings) -> None:
    """Raises SettingsError if keys are required, but their folder cannot be read: no request could be allowed."""
    folder = settings.api_keys_dir
    if folder is not None and not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)):
        raise SettingsError(f"BERTH_API_KEYS_DIR is {shown(str(folder))}: it must be a folder that the router may read")
