"""The `berth-router` command."""

import gc
import logging
import os
import sys
from types import FrameType

import structlog
import uvicorn
import uvloop

from berth_api.cluster import ClusterError
from berth_api.kubernetes_cluster import KubernetesCluster
from berth_api.settings_error import EXIT_WRONG_SETTINGS, SettingsError, shown
from berth_router.app import Router
from berth_router.server import server_config
from berth_router.settings import Settings

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn, whose application knows that it shuts down: connections that are still open then see that it is not ready."""

    def __init__(self, config: uvicorn.Config, router: Router) -> None:
        super().__init__(config)
        self._router = router

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn.Server."""
        self._router.draining = True
        super().handle_exit(sig, frame)


class _UnfinishedAnswers(logging.Filter):
    """Drops uvicorn's complaint about an answer left unfinished: that is how an answer is cut off whose engine broke."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("uvicorn.error").addFilter(_UnfinishedAnswers())
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


async def serve(settings: Settings) -> None:
    """Serves until a signal ends it. Raises ClusterError where there is no cluster to connect to."""
    cluster = await KubernetesCluster.connect(settings.namespace)
    try:
        router = Router(cluster, settings)
        config = server_config(router, settings)
        _calm_garbage_collection()
        _log.info("router_starting", port=settings.port, namespace=cluster.namespace, replica=settings.replica)
        await _Server(config, router).serve()
    finally:
        await cluster.close()


def main() -> int:
    """Runs the router with the settings of the environment. Exit code 2: they are wrong; 1: there is no cluster."""
    try:
        settings = Settings.of_environment()
        _check_keys_folder(settings)
        configure_logging(settings.log_level)
        uvloop.run(serve(settings))
    except SettingsError as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return EXIT_WRONG_SETTINGS
    except ClusterError as error:
        print(f"berth-router: {error}", file=sys.stderr)
        return 1
    return 0


def _check_keys_folder(settings: Settings) -> None:
    """Raises SettingsError where there are to be keys, but no folder with them: nobody could ever be let in."""
    folder = settings.api_keys_dir
    if folder is not None and not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)):
        raise SettingsError(f"BERTH_API_KEYS_DIR is {shown(str(folder))}: it must be a folder that the router may read")
