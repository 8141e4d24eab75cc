"""Berth in one process: the router, the reconcilers and what runs their pods, over objects in memory."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from berth_api.cluster import JOBS, LABEL_DEPLOYMENT, LABEL_DOWNLOAD, MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, PODS
from berth_api.model_deployment import Backend
from berth_local.engines.discovery import (
    ENVIRONMENT_VARIABLES,
    Engines,
    available_engines,
    check_environments,
    python_engine,
)
from berth_local.engines.environment_launcher import EnvironmentLauncher
from berth_local.engines.gpu import first_gpu
from berth_local.engines.memory import MemoryEstimates, budget
from berth_local.engines.spare_launcher import SpareLauncher
from berth_local.home import home_directory, model_store
from berth_local.listening import listen, resolve, url_of
from berth_local.logs import logs_routes
from berth_local.node.admission import SCHEMAS, Ports
from berth_local.node.cluster import LocalCluster
from berth_local.node.containers import environment_here
from berth_local.node.jobs import LABEL_JOB, JobController
from berth_local.node.pods import PodRunner
from berth_local.node.processes import Processes
from berth_local.programs import PythonProgram
from berth_local.settings import DOWNLOADER, operator_settings, router_settings, with_key
from berth_local.state import StartError, StateFolder, held
from berth_local.waking import wake_on_changes
from berth_operator.budget import MemoryGate
from berth_operator.downloads import DownloadReconciler, ProgressReader
from berth_operator.readiness import EngineProber
from berth_operator.reconciler import Reconciler
from berth_operator.settings import Settings as OperatorSettings
from berth_router.app import Router
from berth_router.serving.server import HttpServer

__all__ = ["Options", "Server", "StartError", "serving"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve."""

    models: Path | None = None
    """The model store. None: `models` in the state folder."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0: any that is free."""
    home: Path | None = None
    """The state folder. None: see `home_directory`."""
    api_key: str | None = None
    """What every request must carry. Needed where other machines can come in."""
    memory_bytes: int | None = None
    """What all models together may have of the machine's memory. None: see `default_budget`."""
    drain_seconds: int | None = None
    """What answers under way get to end in, at the end. None: see `router_settings`."""


class Server:
    """A running Berth."""

    def __init__(self, url: str, router: Router, http: HttpServer, drain_seconds: float) -> None:
        self.url = url
        self._router = router
        self._http = http
        self._drain_seconds = drain_seconds

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._http.in_flight

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Takes no new requests. Returns when those under way are answered, their time is over, or `hurry` is set."""
        await self._router.drain(self._http, self._drain_seconds, hurry=hurry)


@asynccontextmanager
async def serving(options: Options) -> AsyncGenerator[Server]:
    """A Berth that serves while this is open; what is under way at the end is told and cut, so drain it first.

    Raises StartError: the folder is in use, the address cannot be used, no engine, no key; SettingsError: the
    environment is wrong.
    """
    home = options.home or home_directory()
    check_environments()
    engines = available_engines()
    if Backend.LLAMACPP not in engines:
        raise StartError("llama.cpp is not on this machine: install berth-local[llamacpp], or put llama-server on PATH")
    address = resolve(options.host, options.port, has_key=bool(options.api_key))
    with held(home) as state, listen(address) as listener:
        store = (options.models or model_store(home)).absolute()
        if options.models is None:
            store.mkdir(exist_ok=True)
        elif not store.is_dir():
            raise StartError(f"--models {options.models} is no directory")
        async with AsyncExitStack() as stack:
            server = await _compose(stack, options, state, store, engines, listener)
            state.announce(server.url)
            yield server


async def _compose(
    stack: AsyncExitStack, options: Options, state: StateFolder, store: Path, engines: Engines, listener: socket.socket
) -> Server:
    """Starts all parts; the stack ends them, the last one first."""
    ports = Ports()
    cluster = LocalCluster({**SCHEMAS, PODS.plural: ports.admit})
    launcher, pods = await _run_pods(stack, cluster, ports, state, store)
    settings = router_settings(engines, store, options.host, options.port)
    if options.api_key:
        settings = with_key(settings, options.api_key, state.scratch / "api-keys")
    if options.drain_seconds is not None:
        settings = settings.model_copy(update={"drain_seconds": options.drain_seconds})
    router = Router(cluster, settings, more_routes=[logs_routes(pods.output)])
    gpu = first_gpu()
    gate = MemoryGate(cluster, budget(options.memory_bytes, gpu), MemoryEstimates(store, gpu), router.evictor)
    await _reconcile(stack, cluster, operator_settings(engines, settings), gate)
    http = await stack.enter_async_context(router.serving(listener))
    await launcher.prepare()
    return Server(url_of(listener), router, http, settings.drain_seconds)


async def _run_pods(
    stack: AsyncExitStack, cluster: LocalCluster, ports: Ports, state: StateFolder, store: Path
) -> tuple[SpareLauncher, PodRunner]:
    """What a node and the job controller are in Kubernetes."""
    processes = await stack.enter_async_context(Processes())
    launcher = SpareLauncher(processes, environment_here({}, Path(os.devnull)))
    stack.push_async_callback(launcher.close)
    images = {
        Backend.LLAMACPP.value: launcher,
        **{
            engine.value: EnvironmentLauncher(processes, python_engine(engine, state.home))
            for engine in ENVIRONMENT_VARIABLES
        },
        DOWNLOADER: PythonProgram(processes, "berth_hub.main"),
    }
    pods = PodRunner(cluster, images, store, state.scratch, ports)
    stack.push_async_callback(pods.close)
    jobs = JobController(cluster)
    stack.push_async_callback(jobs.close)
    for work in (
        pods.run(),
        wake_on_changes(cluster, JOBS, jobs.wake),
        wake_on_changes(cluster, PODS, jobs.wake, LABEL_JOB),
    ):
        await stack.enter_async_context(_background(work))
    return launcher, pods


async def _reconcile(
    stack: AsyncExitStack,
    cluster: LocalCluster,
    settings: OperatorSettings,
    gate: MemoryGate,
) -> None:
    """What the operator is in Kubernetes."""
    prober = await stack.enter_async_context(EngineProber())
    reconciler = Reconciler(cluster, prober, settings, gate=gate)
    stack.push_async_callback(reconciler.close)
    reader = await stack.enter_async_context(ProgressReader())
    downloads = DownloadReconciler(cluster, reader, settings)
    stack.push_async_callback(downloads.close)
    for work in (
        wake_on_changes(cluster, MODEL_DEPLOYMENTS, reconciler.wake),
        wake_on_changes(cluster, PODS, reconciler.wake, LABEL_DEPLOYMENT),
        wake_on_changes(cluster, MODEL_DOWNLOADS, downloads.wake),
        wake_on_changes(cluster, JOBS, downloads.wake, LABEL_DOWNLOAD),
        wake_on_changes(cluster, PODS, downloads.wake, LABEL_DOWNLOAD),
    ):
        await stack.enter_async_context(_background(work))


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Work that goes on while this is open."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report_end)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _report_end(task: asyncio.Task[None]) -> None:
    """What runs for ever ends only by cancellation."""
    if not task.cancelled():
        _log.critical("task_ended", task=task.get_name(), exc_info=task.exception())
