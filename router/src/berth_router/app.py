"""Composition: the parts of a router, and what runs besides them."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter

from berth_cluster.cluster import Cluster
from berth_router.asgi import Message, Receive, Scope, Send
from berth_router.auth import ApiKeys
from berth_router.errors import InternalError, request_id_of, send_error
from berth_router.lifecycle.activator import Activator
from berth_router.lifecycle.clock import Clock, utc_now
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.eviction import Evictor
from berth_router.lifecycle.lease_keeper import Leases
from berth_router.lifecycle.resolve import Policy
from berth_router.lifecycle.unloader import Unloader
from berth_router.management.api import management_api
from berth_router.management.downloads import download_routes
from berth_router.management.health import health_routes
from berth_router.management.inventory import inventory_routes
from berth_router.management.loaded import loaded_routes
from berth_router.management.manifest import manifest_routes
from berth_router.management.models import models_routes
from berth_router.management.stats import stats_routes
from berth_router.management.unload import unload_routes
from berth_router.management.verify import Space, verify_routes
from berth_router.metrics import Metrics
from berth_router.request.ask import RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.serving.dispatch import Dispatcher
from berth_router.serving.inference import Inference, InferencePath
from berth_router.serving.limits import Share
from berth_router.serving.management import Management
from berth_router.serving.pool import EnginePool
from berth_router.serving.server import HttpServer
from berth_router.settings import RouterSettings
from berth_router.stats import Stats
from berth_router.store.descriptions import Descriptions
from berth_router.store.downloads import Downloads
from berth_router.store.hub import Hub
from berth_router.store.removal import Remover
from berth_router.store.store import ModelStore

_log = structlog.get_logger(__name__)


class Router:
    """The router: its parts, and what runs besides. `more_routes`:
    what the management API has besides, where it runs.
    """

    def __init__(
        self, cluster: Cluster, settings: RouterSettings, clock: Clock = utc_now, more_routes: Sequence[APIRouter] = ()
    ) -> None:
        self.draining = False
        """Set at a shutdown, so that no new traffic is sent here."""
        metrics = Metrics()
        root = Path(settings.model_store)
        store = ModelStore(root)
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._descriptions = Descriptions(root)
        self._remover = Remover(cluster, root) if settings.store_writable else None
        downloads = Downloads(cluster, root)
        token = settings.hub_token.get_secret_value() if settings.hub_token else None
        hub = Hub(settings.hub_endpoint, token, allow_pickle=settings.allow_pickle)
        self._keys = ApiKeys(settings.api_keys_dir, settings.api_key_scopes) if settings.api_keys_dir else None
        self._fault: str | None = None
        self._stats = Stats(cluster, settings.stats_config_map, settings.replica, clock)
        self._deployments = Deployments(cluster, clock)
        self._leases = Leases(cluster, self._deployments, settings.replica, clock)
        self.evictor = Evictor(cluster, self._deployments, self._leases)
        """Puts models out for others; only where this router serves alone."""
        policy = Policy(
            engines=settings.engines,
            default_backend=settings.default_backend,
            default_device=settings.default_device,
            default_ttl=settings.default_ttl,
            max_deployments=settings.max_deployments,
        )
        self._activator = Activator(
            cluster=cluster,
            deployments=self._deployments,
            store=store,
            leases=self._leases,
            policy=policy,
            metrics=metrics,
            stats=self._stats,
            deadline_seconds=settings.cold_start_deadline,
            clock=clock,
        )
        self._parser = RequestParser(settings.profiles, settings.max_ttl)
        self._management = management_api(
            [
                models_routes(store, self._deployments),
                loaded_routes(self._deployments, self._leases),
                unload_routes(self._deployments, Unloader(cluster, self._deployments, self._leases), self._parser),
                stats_routes(self._deployments, self._stats),
                inventory_routes(store, self._descriptions, self._remover, settings.engines),
                download_routes(downloads, settings.hub_endpoint),
                verify_routes(hub, downloads, Space(root, settings.min_free_bytes), settings.engines),
                manifest_routes(store, self._deployments, policy),
                health_routes(self._fault_of, self._unready_reason, metrics),
                *more_routes,
            ]
        )

    def openapi(self) -> dict[str, Any]:
        """The API's description, as /openapi.json has it."""
        return self._management.openapi()

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[HttpServer]:
        """While open, the router runs and answers on this socket.

        Drain the server before this is left; what is open then is cut.
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
            inference = Inference(
                self._activator,
                pool,
                self._metrics,
                self._parser,
                settings.engine_store,
                Share(limits.requests_per_model),
            )
            paths = {
                path: InferencePath(inference, endpoint, limits.body_bytes)
                for path, endpoint in INFERENCE_PATHS.items()
            }
            management = Management(
                self._manage, min(limits.body_bytes, limits.management_body_bytes), limits.head_bytes
            )
            server = HttpServer(Dispatcher(paths, management, self._keys, limits.requests_per_key).route, limits, pool)
            await server.listen(listener)
            try:
                yield server
            finally:
                await self.drain(server, 0)

    async def drain(
        self, server: HttpServer, seconds: float, lame_duck_seconds: float = 0, hurry: asyncio.Event | None = None
    ) -> None:
        """Ends the server: see HttpServer.drain. The router calls itself not ready from the first moment."""
        self.draining = True
        await server.drain(seconds, lame_duck_seconds=lame_duck_seconds, hurry=hurry)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While open, the router watches the cluster, keeps its leases and keeps its API keys as the folder has them."""
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
        """What runs for ever ends only by cancellation; anything else is a fault that a restart mends."""
        if not task.cancelled():
            _log.critical("task_ended", task=task.get_name(), exc_info=task.exception())
            self._fault = f"the task {task.get_name()!r} ended"

    def _unready_reason(self) -> str | None:
        if self.draining:
            return "shutting down"
        return None if self._deployments.synced.is_set() else "the cluster's deployments are not known yet"

    async def _manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope["headers"])
        scope["berth_request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._management(scope, receive, send_with_id)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            # FastAPI raises again what its handler has already logged and answered.
            if not started:
                _log.exception("request_failed", request_id=request_id)
                await send_error(send, InternalError(request_id), request_id)
