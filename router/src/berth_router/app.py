"""Composition: the parts of a router, and its tasks in the background."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter

from berth_api.inference import RESPONSES, RESPONSES_INPUT_TOKENS
from berth_cluster.cluster import Cluster
from berth_process.clock import Clock, utc_now
from berth_router.auth import ApiKeys
from berth_router.lifecycle.activator import Activator
from berth_router.lifecycle.creator import Creator
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.lease_keeper import Leases
from berth_router.lifecycle.resolve import Policy
from berth_router.lifecycle.unloader import Unloader
from berth_router.management.api import management_api
from berth_router.management.catalog import Catalog
from berth_router.management.downloads import download_routes
from berth_router.management.health import health_routes
from berth_router.management.inventory import inventory_routes
from berth_router.management.llamacpp_router import llamacpp_routes
from berth_router.management.loaded import loaded_routes
from berth_router.management.manifest import manifest_routes
from berth_router.management.model_feed import ModelFeed
from berth_router.management.models import models_routes
from berth_router.management.ollama_inventory import ollama_inventory_routes
from berth_router.management.ollama_store import StoreChanges, ollama_store_routes
from berth_router.management.pages import page_routes
from berth_router.management.plan import ForecastOf, plan_routes
from berth_router.management.stats import stats_routes
from berth_router.management.unload import unload_routes
from berth_router.management.verify import Space, verify_routes
from berth_router.metrics import Metrics
from berth_router.ollama.endpoints import OLLAMA_ENDPOINTS
from berth_router.request.aliases import Aliases
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.serving.dispatch import Dispatcher, InferenceResponder
from berth_router.serving.inference import EngineKey, InferenceContext, InferencePath, no_key
from berth_router.serving.limits import ConcurrencyLimit
from berth_router.serving.load_path import LOAD_PATHS, LoadPath, LoadsBegun
from berth_router.serving.management_bridge import ManagementBridge
from berth_router.serving.offered import OfferedEngines
from berth_router.serving.ollama_path import OllamaPath, OllamaUnloads
from berth_router.serving.origins import OriginPolicy
from berth_router.serving.pool import EnginePool
from berth_router.serving.responses_path import InputTokensPath, ResponsesPath
from berth_router.serving.server import HttpServer
from berth_router.settings import RouterSettings
from berth_router.stats import Stats
from berth_router.store.descriptions import Descriptions
from berth_router.store.hub_lookup import HubLookup
from berth_router.store.model_downloads import Downloads
from berth_router.store.model_store import ModelStore
from berth_router.store.removal import Remover

_log = structlog.get_logger(__name__)


class Router:
    """The router: its parts, and its tasks in the background.

    `more_routes`: further routes of the management API. `engine_key`: which key each engine asks for. `forecast`: who
    says what would happen to a model; unset: the operator, at the settings' address.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: RouterSettings,
        clock: Clock = utc_now,
        more_routes: Sequence[APIRouter] = (),
        forecast: ForecastOf | None = None,
        engine_key: EngineKey = no_key,
    ) -> None:
        self.draining = False
        """Set at a shutdown, so that the router gets no new traffic."""
        self._fault: str | None = None
        """Why only a restart helps. None: nothing is wrong."""
        root = Path(settings.model_store)
        self._settings = settings
        self._engine_key = engine_key
        self._aliases = Aliases(settings.aliases, settings.default_model)
        self._metrics = Metrics()
        self._keys = ApiKeys(settings.api_keys_dir, settings.api_key_scopes) if settings.api_keys_dir else None
        self._store = ModelStore(root)
        self._descriptions = Descriptions(root)
        self._remover = Remover(cluster, root) if settings.store_writable else None
        self._stats = Stats(cluster, settings.stats_config_map, settings.replica, clock)
        self._deployments = Deployments(cluster, clock)
        self._leases = Leases(cluster, self._deployments, settings.replica, clock)
        self._creator = Creator(cluster, self._deployments, self._store, _policy(settings))
        self._forecast = forecast or _operators(settings.operator_url)
        self._activator = Activator(
            deployments=self._deployments,
            leases=self._leases,
            creator=self._creator,
            metrics=self._metrics,
            stats=self._stats,
            deadline_seconds=settings.cold_start_deadline,
            clock=clock,
        )
        self._feed = ModelFeed(self._deployments)
        self._unloader = Unloader(cluster, self._deployments, self._leases)
        self._ollama_unloads = OllamaUnloads(self._deployments, self._unloader, self._store)
        defaults, abilities = settings.answer_defaults(), self._descriptions.abilities
        self._parser = RequestParser(settings.profiles, settings.max_ttl, self._aliases, abilities, defaults)
        # Further routes come first: the path of one model takes every path that is left.
        self._management = management_api([*more_routes, *self._management_routes(cluster)], defaults)

    def _management_routes(self, cluster: Cluster) -> list[APIRouter]:
        settings, deployments, store = self._settings, self._deployments, self._store
        root = Path(settings.model_store)
        downloads = Downloads(cluster, root)
        token = settings.hub_token.get_secret_value() if settings.hub_token else None
        hub = HubLookup(settings.hub_endpoint, token, allow_pickle=settings.allow_pickle)
        catalog = Catalog(
            store, self._descriptions, deployments, self._parser, settings.profiles, self._aliases, _policy(settings)
        )
        return [
            loaded_routes(deployments, self._leases),
            unload_routes(deployments, self._unloader, self._parser),
            stats_routes(deployments, self._stats),
            inventory_routes(store, self._descriptions, self._remover, settings.engines),
            download_routes(downloads, settings.hub_endpoint),
            verify_routes(hub, downloads, Space(root, settings.min_free_bytes), settings.engines),
            manifest_routes(store, deployments, _policy(settings)),
            plan_routes(self._parser, self._creator, self._forecast),
            page_routes(),
            ollama_inventory_routes(
                store, self._descriptions, deployments, self._parser, catalog, root, settings.default_n_ctx
            ),
            ollama_store_routes(StoreChanges(store, downloads, settings.hub_endpoint, self._unloader, self._remover)),
            health_routes(self._fault_of, self._unready_reason, self._metrics),
            llamacpp_routes(deployments, self._unloader, self._parser, self._feed),
            models_routes(catalog),
        ]

    def openapi(self) -> dict[str, Any]:
        """The description of the API, as /openapi.json has it."""
        return self._management.openapi()

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[HttpServer]:
        """While this is open, the router runs and answers on this socket.

        Drain the server before you leave this: connections that are open then are cut.
        """
        settings = self._settings
        limits = settings.limits()
        async with self.running():
            pool = EnginePool(
                asyncio.get_running_loop(),
                head_bytes=limits.head_bytes,
                connect_seconds=limits.connect_seconds,
                peer_seconds=limits.peer_seconds,
            )
            OfferedEngines(self._deployments, pool, self._engine_key)
            inference = InferenceContext(
                self._activator,
                pool,
                self._metrics,
                self._parser,
                settings.engine_store,
                ConcurrencyLimit(limits.requests_per_model),
                self._engine_key,
                self._descriptions.context_length,
            )
            paths: dict[str, InferenceResponder] = {
                path: InferencePath(inference, endpoint, limits.body_bytes)
                for endpoint in INFERENCE_PATHS.values()
                for path in (endpoint.path, *endpoint.aliases)
            }
            paths[RESPONSES] = ResponsesPath(inference, limits.body_bytes)
            paths[RESPONSES_INPUT_TOKENS] = InputTokensPath(inference, limits.body_bytes)
            paths |= {
                path: OllamaPath(inference, self._ollama_unloads, endpoint, limits.body_bytes)
                for path, endpoint in OLLAMA_ENDPOINTS.items()
            }
            management = ManagementBridge(
                self._management, min(limits.body_bytes, limits.management_body_bytes), limits.head_bytes
            )
            origins = OriginPolicy(settings.cors_origins, settings.allowed_hosts)
            loads = LoadsBegun(self._activator)
            paths |= {
                path: LoadPath(inference, path, loads, limits.body_bytes, waits) for path, waits in LOAD_PATHS.items()
            }
            dispatcher = Dispatcher(paths, management, self._keys, limits.requests_per_key, origins)
            server = HttpServer(dispatcher.dispatch, dispatcher.answers_after_end, limits, pool)
            await server.listen(listener)
            try:
                yield server
            finally:
                await self.drain(server, 0)
                await loads.close()

    async def drain(
        self, server: HttpServer, seconds: float, lame_duck_seconds: float = 0, hurry: asyncio.Event | None = None
    ) -> None:
        """Ends the server: see HttpServer.drain. From the first moment the router is not ready."""
        self.draining = True
        self._feed.close()
        await server.drain(seconds, lame_duck_seconds=lame_duck_seconds, hurry=hurry)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While this is open, the router watches the cluster, keeps its leases, and reads its API keys regularly."""
        tasks = [
            asyncio.create_task(self._deployments.run(), name="view"),
            asyncio.create_task(self._stats.run(), name="stats"),
        ]
        if self._keys:
            await asyncio.to_thread(self._keys.read)
            tasks.append(asyncio.create_task(self._keys.keep_reading(), name="API keys"))
        for task in tasks:
            task.add_done_callback(self._ended)
        if self._remover:
            self._remover.begin_sweep()
        reading = asyncio.create_task(self._descriptions.begin(self._store), name="headers")
        try:
            yield
        finally:
            await self._leases.leave()
            await self._stats.close()
            reading.cancel()
            await self._descriptions.close()
            for task in tasks:
                task.cancel()

    def _fault_of(self) -> str | None:
        return self._fault

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Records the end of a task that runs for ever: unless it was cancelled, only a restart helps."""
        if not task.cancelled():
            _log.critical("task_ended", task=task.get_name(), exc_info=task.exception())
            self._fault = f"the task {task.get_name()!r} ended"

    def _unready_reason(self) -> str | None:
        if self.draining:
            return "shutting down"
        return None if self._deployments.synced.is_set() else "the cluster's deployments are not known yet"


def _operators(url: str | None) -> ForecastOf:
    # Its HTTP client takes a while to load, and on one machine there is no operator to ask by HTTP.
    from berth_router.management.forecast import forecast_at  # noqa: PLC0415

    return forecast_at(url)


def _policy(settings: RouterSettings) -> Policy:
    return Policy(
        engines=settings.engines,
        default_backend=settings.default_backend,
        default_device=settings.default_device,
        default_ttl=settings.default_ttl,
        max_deployments=settings.max_deployments,
        default_context_size=settings.default_n_ctx,
    )
