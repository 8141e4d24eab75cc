"""A server that answers as an API server does, or as what stands before one: each test says how."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from berth_cluster.kubernetes_cluster import KubernetesCluster

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """What was asked of it, and the Cluster that asks it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        """Method and path, as they came."""
        self.port = 0
        self.kubeconfig = Path()

    async def connect(self, namespace: str | None = "ns") -> KubernetesCluster:
        return await KubernetesCluster.connect(namespace, str(self.kubeconfig))


@asynccontextmanager
async def api_server(folder: Path, answer: Answer) -> AsyncGenerator[ApiServer]:
    """Answers while this is open."""
    server = ApiServer()

    async def handle(request: web.Request) -> web.StreamResponse:
        server.seen.append((request.method, request.raw_path))
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        server.kubeconfig = folder / "kubeconfig"
        server.kubeconfig.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{server.port}")))
        yield server
    finally:
        await runner.cleanup()


def kubeconfig(url: str, namespace: str = "of-the-context") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "secret"}}],
    }


def failure(code: int, reason: str, message: str, **details: Any) -> web.Response:
    """The Status object of a refusal."""
    told = {"status": "Failure", "message": message, "reason": reason, "code": code, "details": details}
    return web.json_response({"kind": "Status", "apiVersion": "v1", **told}, status=code)


class OneObject:
    """An object with the API server's rules of versions and uids.

    They are in k8s.io/apiserver, pkg/registry/generic/registry/store.go (Update) and pkg/registry/rest/update.go
    (BeforeUpdate), and in k8s.io/apiextensions-apiserver, pkg/registry/customresource/status_strategy.go; of 1.37.
    """

    def __init__(self, uid: str) -> None:
        self._version = 100
        self.found: dict[str, Any] = {}
        self.before_patch: list[Callable[[], None]] = []
        """What others do just before a patch arrives; one of them each time."""
        self.replace(uid)

    def replace(self, uid: str) -> None:
        """Deletes it and makes a successor."""
        self.found = {"kind": "ModelDeployment", "metadata": {"name": "smol", "uid": uid}, "spec": {}}
        self.touch()

    def touch(self) -> None:
        """Somebody else writes."""
        self._version += 1
        self.found["metadata"]["resourceVersion"] = str(self._version)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(self.found)
        if self.before_patch:
            self.before_patch.pop(0)()
        patch: dict[str, Any] = await request.json()
        stated: dict[str, str] = patch.pop("metadata", {})
        metadata = self.found["metadata"]
        if stated.get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        # Of a status' patch nothing but the status counts.
        if not request.path.endswith("/status") and stated.get("uid", metadata["uid"]) != metadata["uid"]:
            cause = {"reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid"}
            return failure(422, "Invalid", "metadata.uid: Invalid value: field is immutable", causes=[cause])
        self.found.update(patch)
        self.touch()
        return web.json_response(self.found)
