"""Berth in one process: the router, the reconcilers and the node, on the cluster in memory."""

import asyncio
import gc
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from berth_api.model_deployment import Backend, Device
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import PODS
from berth_local.engines.discovery import Engines, available_engines, check_environments
from berth_local.engines.gpu import find_gpus
from berth_local.engines.memory import budget, memory_estimates, places_of
from berth_local.node.admission import SCHEMAS, Ports, pod_admission
from berth_local.node.cluster import LocalCluster
from berth_local.node.engine_keys import EngineKeys
from berth_local.serve.controllers import reconcile, run_pods
from berth_local.serve.engine_logs import logs_routes
from berth_local.serve.engine_processes import EngineProcesses
from berth_local.serve.home import home_directory, model_store
from berth_local.serve.listening import listen, resolve, url_of
from berth_local.serve.machine import machine_routes
from berth_local.serve.options import ServeOptions
from berth_local.serve.settings import operator_settings, router_settings, with_key
from berth_local.serve.state import StartError, StateFolder, WrongOptionError, locked_state
from berth_operator.deployments.reconciler import Room
from berth_router.app import Router
from berth_router.serving.server import HttpServer

_TURNS = RoomSettings(max_residency=timedelta(0))
"""One person uses a machine, so that models change places often: a busy one is closed as soon as another has waited for
the patience."""


_LOOK_SECONDS = 2.0
"""The time between two looks for the state folder."""


class LocalServer:
    """A Berth that serves at `url`."""

    def __init__(self, url: str, router: Router, http: HttpServer, drain_seconds: float, state: StateFolder) -> None:
        self.url = url
        self.home = state.home
        self._state = state
        self._router = router
        self._http = http
        self._drain_seconds = drain_seconds

    @property
    def in_flight(self) -> int:
        """The number of requests that are being answered."""
        return self._http.in_flight

    async def folder_gone(self) -> None:
        """Returns when somebody has deleted the state folder."""
        while not self._state.is_gone():  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(_LOOK_SECONDS)

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Takes no new requests. Returns when those under way are answered, their time is over, or `hurry` is set."""
        self._state.withdraw()
        await self._router.drain(self._http, self._drain_seconds, hurry=hurry)


@asynccontextmanager
async def serving(options: ServeOptions, processes: EngineProcesses) -> AsyncGenerator[LocalServer]:
    """A Berth that serves while the context is open. Its end cuts the answers under way: drain it first.

    Raises InUseError if another one has the folder; WrongOptionError if an option is wrong; StartError if the address
    cannot be used or an engine is missing; SettingsError if a variable of the environment is wrong.
    """
    home = options.home or home_directory()
    check_environments()
    engines = available_engines()
    if Backend.LLAMACPP not in engines:
        raise StartError(
            "llama.cpp is not on this machine: put llama-server on PATH, or install the package xllamacpp beside Berth"
        )
    address = resolve(options.host, options.port, has_key=bool(options.api_key))
    with locked_state(home, lasts=options.lasts) as state, listen(address) as listener:
        store = (options.models or model_store(home)).absolute()
        if options.models is None:
            store.mkdir(exist_ok=True)
        elif not store.is_dir():
            raise WrongOptionError(f"--models {options.models} is no directory")
        async with AsyncExitStack() as stack:
            server = await _compose(stack, options, processes, state, store, engines, listener)
            state.announce(server.url, store)
            gc.freeze()  # what is loaded by now stays: Python need not look through it while answers are made
            yield server


async def _compose(
    stack: AsyncExitStack,
    options: ServeOptions,
    processes: EngineProcesses,
    state: StateFolder,
    store: Path,
    engines: Engines,
    listener: socket.socket,
) -> LocalServer:
    """Starts all parts. The stack ends them, the last one first."""
    ports, keys = Ports(), EngineKeys()
    cluster = LocalCluster({**SCHEMAS, PODS.plural: pod_admission(ports)})
    pods = await run_pods(stack, cluster, processes, ports, keys, state, store)
    settings = router_settings(engines, store, options)
    if options.api_key:
        settings = with_key(settings, options.api_key, state.scratch / "api-keys")
    if options.drain_seconds is not None:
        settings = settings.model_copy(update={"drain_seconds": options.drain_seconds})
    found = find_gpus()
    memory = budget(options.memory_bytes, found.gpus)
    room = Room(places_of(memory[Device.CPU], found), _TURNS, memory_estimates(store, found.gpus))
    reconciler = await reconcile(stack, cluster, operator_settings(engines, settings), room, keys)
    routes = [logs_routes(pods.output), machine_routes(state.home, store, memory, engines)]
    router = Router(
        cluster,
        settings,
        more_routes=routes,
        forecast=reconciler.forecast,
        engine_key=lambda engine: keys.of(engine.status.endpoint or ""),
    )
    http = await stack.enter_async_context(router.serving(listener))
    return LocalServer(url_of(listener), router, http, settings.drain_seconds, state)
