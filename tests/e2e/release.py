"""A release of the chart in a namespace of its own, and how tests look at it."""

import asyncio
import base64
import os
import subprocess
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any, TypeVar

import aiohttp
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from berth_api.activity import expires_at
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import LABEL_DEPLOYMENT, LABEL_MANAGED_BY, MODEL_DEPLOYMENTS, PODS, ROUTER, Kind, Object
from berth_cluster.following import Snapshot, follow
from berth_cluster.kubernetes_cluster import KubernetesCluster
from tests.kubectl import Kubectl

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/berth"
MODEL = "/models/SmolLM2-135M-Instruct"
SAFETENSORS = "/models/SmolLM2-135M-Instruct-safetensors"
"""The same model for vLLM and Transformers."""
RELEASE = "berth"
IMAGES = {"operator.image": "operator", "router.image": "router", "downloads.image": "download"} | {
    f"engines.{engine}.cpu.image": engine for engine in ("llamacpp", "transformers", "vllm")
}
"""The target of the image that belongs at each place of the chart's values."""
DEADLINE = 180
"""Seconds after which a state that was waited for counts as never coming:
far above what any takes on two busy cores.
"""

T = TypeVar("T")


def user(text: str) -> list[ChatCompletionMessageParam]:
    """The messages of a conversation that begins with this."""
    return [{"role": "user", "content": text}]


CAPITAL: list[ChatCompletionMessageParam] = [
    *user("What is the capital of Germany?"),
    {"role": "assistant", "content": "The capital of Germany is Berlin."},
    *user("What is the capital of France?"),
]
"""A conversation that even the smallest model goes on with in one way, on every processor."""


def install(
    kubectl: Kubectl,
    images: dict[str, str],
    *values: str,
    more_images: dict[str, str] | None = None,
    chart: Path = CHART,
) -> "Release":
    """Installs the chart and waits until its Service answers; `more_images` are further entries of IMAGES."""
    if "BERTH_TEST_STORE" in os.environ:  # the cluster of scripts/cluster, whose volumes nobody frees by himself
        subprocess.run([ROOT / "scripts/cluster", "store"], check=True, timeout=60)
    arguments = [
        argument
        for setting in ("modelStore.size=1Gi", "modelStore.keep=false", *values)
        for argument in ("--set", setting)
    ]
    for path, target in {**IMAGES, **(more_images or {})}.items():
        repository, tag = images[target].rsplit(":", 1)
        # As strings: a tag, which is a hash, may be all digits.
        arguments += ["--set-string", f"{path}.repository={repository},{path}.tag={tag}"]
    command = [
        "helm",
        "install",
        RELEASE,
        str(chart),
        "--namespace",
        kubectl.namespace,
        "--wait",
        "--timeout",
        "3m",
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    release = Release(kubectl, done.stdout + done.stderr)
    deadline = time.monotonic() + DEADLINE
    # kube-proxy learns of the ready pods a moment after helm does.
    while not release.answers():
        assert time.monotonic() < deadline, f"{release.url} does not answer"
        time.sleep(0.05)
    return release


class Release:
    """What is installed, and what can be asked of it."""

    def __init__(self, kubectl: Kubectl, printed: str) -> None:
        self.kubectl = kubectl
        self.printed = printed
        """What helm printed when it was installed."""
        service = kubectl.json("get", "service", RELEASE)
        self.url = f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
        self.api_key = self.key("admin")
        """Allows everything."""
        self._cluster: KubernetesCluster | None = None
        self._clients: list[AsyncOpenAI] = []

    def engine_key(self, deployment: str) -> str:
        """The key that the deployment's engine asks for."""
        [secret] = self.kubectl.json("get", "secrets", "--selector", f"{LABEL_DEPLOYMENT}={deployment}")["items"]
        return base64.b64decode(secret["data"]["key"]).decode()

    def key(self, name: str) -> str:
        """One of the API keys that the chart made."""
        return base64.b64decode(self.kubectl.json("get", "secret", f"{RELEASE}-api-keys")["data"][name]).decode()

    def answers(self) -> bool:
        """Whether the Service leads to a router that is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def uninstall(self) -> None:
        """Removes the release with its namespace. Nothing that a request started may be left."""
        # Engines of what was declared would hold the store's claim, and helm waits for that to go.
        self.kubectl.run("delete", "modeldeployments,modeldownloads", "--selector", f"{LABEL_MANAGED_BY}!={ROUTER}")
        # The hook is seen to do its work, in a test or here: nothing of what routers made is deleted before.
        command = ["helm", "uninstall", RELEASE, "--namespace", self.kubectl.namespace, "--wait"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        made = self.kubectl.json("get", "md,mdl", "--selector", f"{LABEL_MANAGED_BY}={ROUTER}")["items"]
        self.kubectl.run("delete", "modeldeployments,modeldownloads", "--all")
        self.kubectl.run("delete", "namespace", self.kubectl.namespace, "--wait=false")
        assert done.returncode == 0, done.stderr
        assert not made
        assert "left: " in done.stdout + done.stderr, "helm says what stays"

    def load_model(self, folder: Path) -> None:
        """Puts a model directory into the store, the way the README says."""
        subprocess.run([ROOT / "scripts/load-model", folder, self.kubectl.namespace], check=True, timeout=180)

    def watch_with(self, cluster: KubernetesCluster) -> None:
        """Sets the client that looks at the cluster: one for each test's event loop."""
        self._cluster = cluster

    @property
    def cluster(self) -> KubernetesCluster:
        """Berth's client in this namespace."""
        assert self._cluster is not None
        return self._cluster

    def openai(self, **options: Any) -> AsyncOpenAI:
        """OpenAI's client, as its users have it. Closed at the end of the test."""
        arguments: dict[str, Any] = {"base_url": f"{self.url}/v1", "api_key": self.api_key, **options}
        client = AsyncOpenAI(**arguments)
        self._clients.append(client)
        return client

    async def close_clients(self) -> None:
        """Closes every client that `openai` gave."""
        while self._clients:
            await self._clients.pop().close()

    async def post(self, path: str, body: Any, url: str | None = None) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers of one request. `url`: of one router, instead of the service's."""
        async with self._session() as session, session.post(f"{url or self.url}{path}", json=body) as response:
            return (
                response.status,
                await response.json(),
                {key.lower(): value for key, value in response.headers.items()},
            )

    async def get(self, path: str) -> Any:
        """JSON of one request."""
        async with self._session() as session, session.get(f"{self.url}{path}") as response:
            return await response.json()

    async def lines(self, path: str, body: Any) -> AsyncGenerator[str]:
        """The lines of a streamed answer, as they come."""
        async with self._session() as session, session.post(f"{self.url}{path}", json=body) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                yield line.decode().rstrip()

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.api_key}"})

    async def deployments(self) -> list[ModelDeployment]:
        """All there are."""
        return [ModelDeployment.parse(item) for item in (await self.cluster.list(MODEL_DEPLOYMENTS)).items]

    async def engine_pods(self) -> list[Object]:
        """Pods of engines, those that are ending included."""
        return [
            pod
            for pod in (await self.cluster.list(PODS)).items
            if LABEL_DEPLOYMENT in pod["metadata"].get("labels", {})
        ]

    async def until(self, kind: Kind, found: Callable[[dict[str, Object]], T | None]) -> T:
        """What `found` makes of the objects of a kind, by name, as soon as it is not None."""
        objects: dict[str, Object] = {}
        async with asyncio.timeout(DEADLINE):
            async for change in follow(self.cluster, kind):
                if isinstance(change, Snapshot):
                    objects = {item["metadata"]["name"]: item for item in change.items}
                elif change.type == "DELETED":
                    objects.pop(change.object["metadata"]["name"], None)
                else:
                    objects[change.object["metadata"]["name"]] = change.object
                if (result := found(objects)) is not None:
                    return result
        raise AssertionError("unreachable: following never ends")

    async def until_deployment(self, holds: Callable[[ModelDeployment], bool]) -> ModelDeployment:
        """A deployment of which this holds, as soon as there is one."""
        return await self.until(
            MODEL_DEPLOYMENTS,
            lambda objects: next((each for each in map(ModelDeployment.parse, objects.values()) if holds(each)), None),
        )

    async def until_phase(self, phase: str) -> ModelDeployment:
        """A deployment in this phase, as soon as there is one."""
        return await self.until_deployment(lambda each: each.status.phase == phase)

    async def clear(self) -> None:
        """Deletes every deployment and waits until no engine is left."""
        for deployment in await self.deployments():
            await self.cluster.delete(MODEL_DEPLOYMENTS, deployment.name)
        await self.until(MODEL_DEPLOYMENTS, lambda objects: True if not objects else None)
        await self.until(
            PODS,
            lambda pods: (
                True
                if not any(LABEL_DEPLOYMENT in pod["metadata"].get("labels", {}) for pod in pods.values())
                else None
            ),
        )

    @asynccontextmanager
    async def counting(self) -> AsyncGenerator[dict[str, set[str]]]:
        """uids of every deployment and engine pod that exists at any time in the block, by kind's plural."""
        seen: dict[str, set[str]] = {MODEL_DEPLOYMENTS.plural: set(), PODS.plural: set()}

        async def collect(kind: Kind, labelled: bool) -> None:
            async for change in follow(self.cluster, kind):
                items = change.items if isinstance(change, Snapshot) else [change.object]
                seen[kind.plural] |= {
                    item["metadata"]["uid"]
                    for item in items
                    if not labelled or LABEL_DEPLOYMENT in item["metadata"].get("labels", {})
                }

        tasks = [
            asyncio.create_task(collect(MODEL_DEPLOYMENTS, labelled=False)),
            asyncio.create_task(collect(PODS, labelled=True)),
        ]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def pods_of(self, component: str) -> list[Object]:
        """Pods of the operator or the router."""
        return self.kubectl.json("get", "pods", "-l", f"app.kubernetes.io/component={component}")["items"]

    async def until_gone(self, component: str) -> None:
        """Returns when no pod of the operator or the router is ending any more."""

        def none_ends(pods: dict[str, Object]) -> bool | None:
            ending = [
                pod
                for pod in pods.values()
                if pod["metadata"].get("labels", {}).get("app.kubernetes.io/component") == component
                and "deletionTimestamp" in pod["metadata"]
            ]
            return True if not ending else None

        await self.until(PODS, none_ends)

    def processes(self, pod: Object, process: str) -> list[int]:
        """The processes of this name in the pod, by their numbers on this machine."""
        pids = [pid for pid in _processes_of(pod["metadata"]["uid"]) if process in _command_line(pid)]
        assert pids, f"no process {process} of {pod['metadata']['name']} runs on this machine"
        return pids

    def kill_9(self, pod: Object, process: str) -> None:
        """Ends the processes of this name in the pod as a crash does."""
        for pid in self.processes(pod, process):
            with suppress(ProcessLookupError):  # the container's first one takes the others with it
                os.kill(pid, SIGKILL)

    async def until_restarted(self, pod: Object) -> None:
        """Returns when the pod, whose process has crashed, is ready again."""
        before = _restarts(pod)
        await self.until(
            PODS,
            lambda pods: True if is_ready(now := pods[pod["metadata"]["name"]]) and _restarts(now) > before else None,
        )


def _restarts(pod: Object) -> int:
    return pod["status"]["containerStatuses"][0]["restartCount"]


def is_ready(pod: Object) -> bool:
    """Whether the pod is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"]["conditions"])


def kept_until(deployment: ModelDeployment) -> float | None:
    """Seconds since the epoch at which the deployment becomes idle; None where never."""
    moment = expires_at(deployment)
    return moment.timestamp() if moment else None


def _processes_of(pod_uid: str) -> list[int]:
    """Processes of a pod on this machine, by their control group."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if pod_uid in (folder / "cgroup").read_text():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
