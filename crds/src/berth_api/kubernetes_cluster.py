"""The Cluster that Kubernetes holds.

Plain JSON through the official client's ApiClient: its typed models cost more memory than all the rest of a router, and
nothing here needs them.
"""

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from berth_api.cluster import (
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    Kind,
    NotFoundError,
    Object,
    ObjectList,
    Preconditions,
    UnavailableError,
    WatchEvent,
)

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
WATCH_SECONDS = 240
"""How long the server keeps one watch open; bookmarks arrive about every minute within it."""

WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=100)
"""A watch that brings not even a bookmark for this long stands on a dead connection."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_ERRORS_BY_REASON: dict[str, type[ClusterError]] = {
    "NotFound": NotFoundError,
    "AlreadyExists": AlreadyExistsError,
    "Conflict": ConflictError,
    "Invalid": InvalidError,
    "BadRequest": InvalidError,
    "Forbidden": ForbiddenError,
    "Unauthorized": ForbiddenError,
    "Expired": ExpiredError,
    "Gone": ExpiredError,
}


class KubernetesCluster:
    """Objects of one namespace of a Kubernetes cluster. Use `connect`, and `close` at the end."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    async def connect(cls, namespace: str | None = None, kubeconfig: str | None = None) -> Self:
        """Connects as the pod's service account, or with a kubeconfig file when one is given or KUBECONFIG names one.

        The namespace defaults to the pod's own, or to the kubeconfig context's. Raises UnavailableError without either configuration.
        """
        configuration = Configuration()
        # In-cluster only without an explicit kubeconfig: a developer's shell inside a pod means the cluster it names.
        kubeconfig = kubeconfig or os.environ.get("KUBECONFIG")
        loaders = cast("Any", config)  # not typed
        try:
            if kubeconfig or not _NAMESPACE_FILE.exists():  # noqa: ASYNC240 (once, at start)
                loader = await loaders.load_kube_config(kubeconfig, client_configuration=configuration)
                default = loader.current_context.get("context", {}).get("namespace") or "default"
            else:
                loaders.load_incluster_config(client_configuration=configuration)
                default = _NAMESPACE_FILE.read_text().strip()  # noqa: ASYNC240
        except config.ConfigException as error:
            raise UnavailableError(f"no cluster to connect to: {error}") from error
        return cls(ApiClient(configuration), namespace or default)

    async def close(self) -> None:
        """Closes the connections."""
        await cast("Any", self._client).close()

    async def get(self, kind: Kind, name: str) -> Object:
        """See Cluster.get."""
        return await self._call("GET", self._path(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        """See Cluster.list."""
        answer = await self._call("GET", self._path(kind), query=_selector(labels))
        # Items of a list carry neither apiVersion nor kind; give them what a single read has.
        items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in answer["items"]]
        return ObjectList(items, answer["metadata"]["resourceVersion"])

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """See Cluster.watch."""
        query = {
            **_selector(labels),
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = await self._request("GET", self._path(kind), query=query, limits=WATCH_TIMEOUT)
        try:
            if response.status != 200:
                raise _error(response.status, await response.read())
            async for line in response.content:
                event: dict[str, Any] = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), orjson.dumps(event["object"]))
                if event["type"] != "BOOKMARK":
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnavailableError(f"the watch of {kind.plural} broke: {error}") from error
        finally:
            response.close()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """See Cluster.create."""
        return await self._call("POST", self._path(kind), body=manifest)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        """See Cluster.patch."""
        return await self._patch(kind, self._path(kind, name), patch, preconditions)

    async def patch_status(self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None) -> Object:
        """See Cluster.patch_status."""
        return await self._patch(kind, self._path(kind, name, "status"), {"status": status}, preconditions)

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """See Cluster.delete."""
        options: Object = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if preconditions:
            version = preconditions.resource_version
            options["preconditions"] = {"uid": preconditions.uid, **({"resourceVersion": version} if version else {})}
        await self._call("DELETE", self._path(kind, name), body=options)

    async def _patch(self, kind: Kind, path: str, patch: Object, preconditions: Preconditions | None) -> Object:
        if preconditions and preconditions.resource_version:
            patch = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": preconditions.resource_version}}
        patched = await self._call("PATCH", path, body=patch)
        if preconditions and patched["metadata"]["uid"] != preconditions.uid:
            # The API server takes no uid with a patch; a successor of the same name is noticed only by what came back.
            raise ConflictError(f"{kind.kind} {patched['metadata']['name']} is not the one that was read: it was deleted and made anew")
        return patched

    def _path(self, kind: Kind, name: str = "", subresource: str = "") -> str:
        root = "/apis/" if "/" in kind.api_version else "/api/"
        parts = [f"{root}{kind.api_version}/namespaces/{self.namespace}/{kind.plural}", name, subresource]
        return "/".join(part for part in parts if part)

    async def _call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Object | None = None) -> Object:
        response = await self._request(method, path, query=query, body=body, limits=REQUEST_TIMEOUT)
        try:
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"the API server broke off: {error}") from error
        if response.status >= 300:
            raise _error(response.status, content)
        return orjson.loads(content)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        client = cast("Any", self._client)
        try:
            # ApiClient adds the credentials and renews them when they expire.
            method, url, headers, body, _ = await client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(f"the API server cannot be reached: {error or type(error).__name__}") from error
        return answer.response


def _selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}


def _error(status: int, content: bytes) -> ClusterError:
    """The error that a Status object means."""
    try:
        answer: dict[str, Any] = orjson.loads(content)
    except ValueError:
        answer = {}
    message = answer.get("message") or content[:500].decode(errors="replace") or f"HTTP status {status}"
    return _ERRORS_BY_REASON.get(answer.get("reason", ""), UnavailableError)(message)
