"""What runs beside the router in one process: the node, the job controller and the operator's reconcilers."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from berth_api.model_deployment import Backend
from berth_cluster.cluster import (
    JOBS,
    LABEL_DOWNLOAD,
    MODEL_DOWNLOADS,
    PODS,
    Cluster,
    Kind,
    Object,
)
from berth_cluster.following import Snapshot, follow
from berth_local.engines.discovery import ENVIRONMENT_VARIABLES, python_engine
from berth_local.engines.environment_launcher import EnvironmentLauncher
from berth_local.node.admission import Ports
from berth_local.node.cluster import LocalCluster
from berth_local.node.engine_keys import EngineKeys
from berth_local.node.jobs import LABEL_JOB, JobController
from berth_local.node.output import OutputBuffer
from berth_local.node.pods import PodRunner, Report
from berth_local.node.processes import ChildProcess, Processes
from berth_local.serve.engine_processes import EngineProcesses
from berth_local.serve.settings import DOWNLOADER
from berth_local.serve.state import StateFolder
from berth_operator.deployments.readiness import EngineProber
from berth_operator.deployments.reconciler import DeploymentReconciler, Room
from berth_operator.deployments.view import DeploymentView
from berth_operator.downloads import DownloadReconciler, ProgressReader
from berth_operator.settings import OperatorSettings

_log = structlog.get_logger(__name__)


async def run_pods(
    stack: AsyncExitStack,
    cluster: LocalCluster,
    engines: EngineProcesses,
    ports: Ports,
    keys: EngineKeys,
    state: StateFolder,
    store: Path,
) -> PodRunner:
    """Starts the node and the job controller. The stack ends them."""
    processes = engines.processes
    images = {
        Backend.LLAMACPP.value: engines.llamacpp,
        **{
            engine.value: EnvironmentLauncher(processes, python_engine(engine, state.home), state.home / "compiled")
            for engine in ENVIRONMENT_VARIABLES
        },
        DOWNLOADER: ModuleLauncher(processes, "berth_hub.main"),
    }
    pods = PodRunner(cluster, images, store, state.scratch, ports, keys)
    stack.push_async_callback(pods.close)
    jobs = JobController(cluster)
    stack.push_async_callback(jobs.close)
    for work in (
        pods.run(),
        wake_on_changes(cluster, JOBS, jobs.wake),
        wake_on_changes(cluster, PODS, jobs.wake, LABEL_JOB),
    ):
        await stack.enter_async_context(_running(work))
    return pods


async def reconcile(
    stack: AsyncExitStack,
    cluster: LocalCluster,
    settings: OperatorSettings,
    room: Room,
    keys: EngineKeys,
) -> DeploymentReconciler:
    """Starts the operator's reconcilers, and returns that of deployments. The stack ends them."""
    prober = await stack.enter_async_context(EngineProber(lambda url, _: keys.of(url)))
    view = DeploymentView(cluster)
    reconciler = DeploymentReconciler(view, prober, settings, room=room)
    stack.push_async_callback(reconciler.close)
    reader = await stack.enter_async_context(ProgressReader())
    downloads = DownloadReconciler(cluster, reader, settings)
    stack.push_async_callback(downloads.close)
    for work in (
        view.run(),
        wake_on_changes(cluster, MODEL_DOWNLOADS, downloads.wake),
        wake_on_changes(cluster, JOBS, downloads.wake, LABEL_DOWNLOAD),
        wake_on_changes(cluster, PODS, downloads.wake, LABEL_DOWNLOAD),
    ):
        await stack.enter_async_context(_running(work))
    return reconciler


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Runs the coroutine in a task while the context is open."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report_end)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _report_end(task: asyncio.Task[None]) -> None:
    """Logs that the task has ended: these tasks run for ever, and end only when they are cancelled."""
    if not task.cancelled():
        _log.critical("task_ended", task=task.get_name(), exc_info=task.exception())


class ModuleLauncher:
    """Starts a module of this Python as a program."""

    def __init__(self, processes: Processes, module: str) -> None:
        self._processes = processes
        self._module = module

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        """Starts the module. It is always installed, so there is nothing to report."""
        return await self._processes.start([sys.executable, "-m", self._module, *arguments], environment, output)


async def wake_on_changes(
    cluster: Cluster, kind: Kind, wake: Callable[[str, Object], None], label: str | None = None
) -> None:
    """Calls `wake` for each object that exists, and whenever one changes, for ever. Kopf does this for the operator.

    `wake` gets the object's name, or with `label` the value of that label, and the object.
    """
    async for change in follow(cluster, kind):
        for item in change.items if isinstance(change, Snapshot) else [change.object]:
            name = _name(item["metadata"], label)
            if name:
                wake(name, item)


def _name(metadata: Object, label: str | None) -> str | None:
    labels: Mapping[str, str] = metadata.get("labels") or {}
    return labels.get(label) if label else metadata["name"]
