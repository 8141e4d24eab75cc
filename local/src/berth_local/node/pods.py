"""The kubelet of one machine: it runs each pod's container as a process, and writes the pod's status."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from berth_api.schema import format_timestamp
from berth_cluster.cluster import (
    GROUP,
    LABEL_DEPLOYMENT,
    LABEL_DOWNLOAD,
    PODS,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_cluster.following import Snapshot, follow
from berth_local.node.admission import LOOPBACK, Ports
from berth_local.node.cluster import DEFAULT_GRACE_SECONDS, LocalCluster
from berth_local.node.containers import arguments_here, oom_kills, termination_message
from berth_local.node.engine_keys import EngineKeys
from berth_local.node.environment import environment_here
from berth_local.node.model_files import fault_of
from berth_local.node.output import OutputBuffer
from berth_local.node.processes import ChildProcess
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)

NODE = "this-machine"

MODEL_ANNOTATION = f"{GROUP}/model"
"""The annotation of a pod with the path of its model."""

_KILLED = 137
"""The exit code of a process that was killed by SIGKILL."""
_NOT_RUN = 127
"""The exit code with which a shell says that it could not run a command."""


Report = Callable[[str], Awaitable[None]]
"""Takes the reason, in a few words, why the container does not run yet."""


class ProgramLauncher(Protocol):
    """Starts the program that is a container's image."""

    async def launch(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        """Installs the program if it is missing, then starts it. Raises OSError if no process can be made.

        `arguments` and `environment` are the container's. The process writes to `output`. `report` gets what the
        launcher waits for.
        """
        ...


class NotStartedError(Exception):
    """A container's process cannot be started; the message says why."""


class PodRunner:
    """Runs the pods of the cluster.

    `images`: the launcher of each image, by the image's name. `store`: the folder that stands for the volume of models.
    `scratch`: a folder for the containers' termination messages.
    """

    def __init__(
        self,
        cluster: LocalCluster,
        images: Mapping[str, ProgramLauncher],
        store: Path,
        scratch: Path,
        ports: Ports,
        keys: EngineKeys,
    ) -> None:
        self._cluster = cluster
        self._images = images
        self._store = store
        self._scratch = scratch
        self._ports = ports
        self._keys = keys
        self._pods: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, _PodEnd] = {}
        self._outputs: dict[str, OutputBuffer] = {}
        self._last_of: dict[str, str] = {}
        """By the path of a model: the name of the deployment that was started last."""

    async def run(self) -> None:
        """Runs pods, for ever."""
        async for change in follow(self._cluster, PODS):
            for pod in change.items if isinstance(change, Snapshot) else [change.object]:
                self._consider(pod)

    async def close(self) -> None:
        """Ends every process that runs, each within its pod's grace."""
        for end in self._ends.values():
            end.ask()
        if self._pods:
            await asyncio.wait(self._pods.values())

    def output(self, name: str) -> OutputBuffer | None:
        """The output of this deployment's or download's processes; of a model's, that of the one that started last.

        It stays when they are gone. None: none has run.
        """
        return self._outputs.get(self._last_of.get(name, name))

    def _consider(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            if end := self._ends.get(uid):
                end.ask(pod["metadata"].get("deletionGracePeriodSeconds"))
        elif uid not in self._pods and not pod["spec"].get("nodeName"):
            self._ends[uid] = _PodEnd(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
            self._pods[uid] = asyncio.create_task(
                self._run_to_deletion(pod, self._ends[uid]), name=f"pod {pod['metadata']['name']}"
            )
            self._pods[uid].add_done_callback(lambda _: self._forget(uid))

    def _forget(self, uid: str) -> None:
        del self._pods[uid]
        del self._ends[uid]

    async def _run_to_deletion(self, pod: Object, end: "_PodEnd") -> None:
        """Runs the pod, waits until somebody deletes it, and removes the object."""
        metadata = pod["metadata"]
        try:
            await self._run(pod, end)
            await end.asked.wait()
        except (NotFoundError, ConflictError):
            pass  # the pod was deleted before it ran
        except Exception:
            _log.exception("pod_lost", pod=metadata["name"])
            raise
        finally:
            self._ports.release(pod)
            self._keys.forget(pod)
            self._cluster.finish(PODS, metadata["name"], metadata["uid"])

    async def _run(self, pod: Object, end: "_PodEnd") -> None:
        """Runs the pod's container until it ends, or until somebody deletes the pod."""
        metadata, container = pod["metadata"], pod["spec"]["containers"][0]
        status = _StatusWriter(self._cluster, pod)
        await self._cluster.patch(PODS, metadata["name"], {"spec": {"nodeName": NODE}}, Preconditions(metadata["uid"]))
        termination_log = self._scratch / f"{metadata['uid']}.termination"
        output = self._outputs.setdefault(_owner_name(pod), OutputBuffer())
        annotations: dict[str, str] = metadata.get("annotations") or {}
        if model := annotations.get(MODEL_ANNOTATION):
            self._last_of[model] = _owner_name(pod)
        begun_at, oom_before = output.end, oom_kills()
        try:
            self._make(termination_log)
            environment = environment_here(container, termination_log) | self._keys.make(pod)
            launching = self._launch(container, environment, output, status.creating)
            child = await _launched_unless(end.asked, launching)
        except NotStartedError as error:
            await status.terminated(_NOT_RUN, f"NotStarted: {error}", out_of_memory=False)
            return
        if child is None:
            return
        try:
            await status.running()
            code = await end.wait_for(child)
        finally:
            child.kill()
        if not end.asked.is_set():
            out_of_memory = code == _KILLED and oom_kills() > oom_before
            fault = None
            if code and not out_of_memory:
                fault = await asyncio.to_thread(fault_of, arguments_here(container, self._store))
            lines = output.lines(begun_at)
            message = termination_message(
                container, termination_log, lines, code, fault=fault, out_of_memory=out_of_memory
            )
            await status.terminated(code, message, out_of_memory=out_of_memory)
        termination_log.unlink(missing_ok=True)

    def _make(self, termination_log: Path) -> None:
        try:
            self._scratch.mkdir(mode=0o700, exist_ok=True)  # somebody may have deleted it
            termination_log.touch(mode=0o600)
        except OSError as error:
            raise NotStartedError(f"{self._scratch} cannot be written to: {error.strerror}") from error

    async def _launch(
        self, container: dict[str, Any], environment: Mapping[str, str], output: OutputBuffer, report: Report
    ) -> ChildProcess:
        launcher = self._images.get(container["image"])
        if launcher is None:
            raise NotStartedError(f"there is no {container['image']} on this machine")
        try:
            return await launcher.launch(arguments_here(container, self._store), environment, output, report)
        except OSError as error:
            raise NotStartedError(f"{container['image']} cannot be started: {error}") from error


class _StatusWriter:
    """Writes a pod's status as a kubelet writes it."""

    def __init__(self, cluster: LocalCluster, pod: Object, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._metadata = pod["metadata"]
        self._container = pod["spec"]["containers"][0]
        self._clock = clock
        self._started_at: str | None = None

    async def creating(self, message: str) -> None:
        """Writes that there is no process yet."""
        await self._write("Pending", {"waiting": {"reason": "ContainerCreating", "message": message}})

    async def running(self) -> None:
        """Writes that the process runs."""
        self._started_at = format_timestamp(self._clock())
        await self._write("Running", {"running": {"startedAt": self._started_at}})

    async def terminated(self, code: int, message: str, *, out_of_memory: bool) -> None:
        """Writes that the process has ended, by itself or because somebody else ended it, or could not be started."""
        reason = "OOMKilled" if out_of_memory else "Completed" if code == 0 else "Error"
        ended = {
            "exitCode": code,
            "reason": reason,
            "startedAt": self._started_at or format_timestamp(self._clock()),
            "finishedAt": format_timestamp(self._clock()),
        }
        if message:
            ended["message"] = message
        await self._write("Succeeded" if code == 0 else "Failed", {"terminated": ended})

    async def _write(self, phase: str, state: Object) -> None:
        now = format_timestamp(self._clock())
        status: Object = {
            "phase": phase,
            "podIP": LOOPBACK,
            "hostIP": LOOPBACK,
            "startTime": self._started_at or now,
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": now}],
            "containerStatuses": [
                {
                    "name": self._container["name"],
                    "image": self._container["image"],
                    "ready": "running" in state,
                    "started": "running" in state,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        await self._cluster.patch_status(PODS, self._metadata["name"], status, Preconditions(self._metadata["uid"]))


async def _launched_unless(deleted: asyncio.Event, launching: Coroutine[Any, Any, ChildProcess]) -> ChildProcess | None:
    """The process that is launched. None where the pod is deleted first; then the launch is cancelled."""
    launch, deletion = asyncio.create_task(launching), asyncio.create_task(deleted.wait())
    try:
        await asyncio.wait({launch, deletion}, return_when=asyncio.FIRST_COMPLETED)
        return await launch if launch.done() else None
    finally:
        for task in (launch, deletion):
            task.cancel()
        await asyncio.wait({launch, deletion})


class _PodEnd:
    """The end of a pod: whether somebody has asked for it, and when its process is killed."""

    def __init__(self, grace_seconds: float) -> None:
        """`grace_seconds`: the pod's own grace, which counts if a deletion states none."""
        self.asked = asyncio.Event()
        self._grace = grace_seconds
        self._deadline: float | None = None
        self._limit: asyncio.Timeout | None = None

    def ask(self, grace_seconds: float | None = None) -> None:
        """Asks for the end. A second call can shorten the grace, not lengthen it."""
        grace = self._grace if grace_seconds is None else grace_seconds
        deadline = asyncio.get_running_loop().time() + grace
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
            if self._limit and not self._limit.expired():
                self._limit.reschedule(deadline)
        self.asked.set()

    async def wait_for(self, child: ChildProcess) -> int:
        """Waits until the process ends, and ends it when somebody asks for that. The exit code."""
        waiting = {asyncio.create_task(child.wait()), asyncio.create_task(self.asked.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return await self._stop(child) if self.asked.is_set() else await child.wait()
        finally:
            for task in waiting:
                task.cancel()

    async def _stop(self, child: ChildProcess) -> int:
        child.terminate()
        try:
            async with asyncio.timeout_at(self._deadline) as self._limit:
                return await child.wait()
        except TimeoutError:
            child.kill()
            return await child.wait()
        finally:
            self._limit = None


def _owner_name(pod: Object) -> str:
    """The name under which the pod's output is kept: that of its deployment or download."""
    labels: dict[str, str] = pod["metadata"].get("labels") or {}
    return labels.get(LABEL_DEPLOYMENT) or labels.get(LABEL_DOWNLOAD) or pod["metadata"]["name"]
