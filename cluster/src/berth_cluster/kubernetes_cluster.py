"""The Cluster that Kubernetes holds.

Plain JSON through the official client's ApiClient: its typed models cost more memory than all the rest of a router, and
nothing here needs them.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Self, cast
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config import ConfigException

from berth_cluster.api_connection import load_connection
from berth_cluster.cluster import (
    JOBS,
    PODS,
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
from berth_cluster.json_lines import lines_of
from berth_cluster.names import impossible_label, is_object_name
from berth_cluster.packed import PackedObjects, pack
from berth_cluster.user_agent import user_agent

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
WATCH_SECONDS = 240
"""How long the server keeps one watch open; bookmarks arrive about every minute within it."""

WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=100)
"""A watch without even a bookmark for this long has a dead connection."""

_LONGEST_EVENT_BYTES = 16 << 20
"""etcd takes no object beyond 1.5 MiB. Its JSON may be several times as long: a control character takes six."""

_PAGE_OBJECTS = 500
"""Of one answer to a list: ten thousand objects in one would take 100 MB for a moment, and a process keeps those."""

_SHAPED_BY_PEOPLE = (PODS, JOBS)
"""An affinity with a misspelt field would otherwise be none, and nobody would hear of it."""

_NO_VERDICT = ("exceeded quota", "unknown for quota", "does not support dry run")
"""Words of the API server about an object that was only to be judged: the quota may have room when it is created, and
an admission webhook that has side effects judges nothing before that."""

_STATUS_TRIES = 5
"""How often a status is read and written again because somebody else has written it in between."""

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
_ERRORS_BY_CODE: dict[int, type[ClusterError]] = {400: InvalidError, 403: ForbiddenError, 422: InvalidError}
"""Of a Status whose reason says nothing: an admission webhook may refuse with a message alone, as Kyverno does, or with
any words as its reason.
"""


class KubernetesCluster:
    """Objects of one namespace of a Kubernetes cluster. Use `connect`, and `close` at the end."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    async def connect(
        cls, namespace: str | None = None, kubeconfig: str | None = None, *, program: str = "berth"
    ) -> Self:
        """Connects as the pod's service account, or with a kubeconfig file where one is given or KUBECONFIG names one.

        `program` is who asks, in the API server's log, and who writes, in an object's `managedFields`. The namespace
        defaults to the pod's own, or to the kubeconfig context's. Raises UnavailableError without either configuration,
        InvalidError where the namespace cannot be one, SettingsError where a variable of the environment is wrong.
        """
        configuration, namespace = await load_connection(namespace, kubeconfig)
        client = ApiClient(configuration)
        cast("Any", client).user_agent = user_agent(program)
        return cls(client, namespace)

    async def close(self) -> None:
        """Closes the connections."""
        await cast("Any", self._client).close()

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows this kind: its CustomResourceDefinition may be gone. Raises ClusterError."""
        # Of a group that it does not know it says so as any web server does, so it is asked for its list of them first.
        groups: list[Object] = (await self._call("GET", "/apis")).get("groups") or []
        if not any(version["groupVersion"] == kind.api_version for group in groups for version in group["versions"]):
            return False
        resources: list[Object] = (await self._call("GET", f"/apis/{kind.api_version}")).get("resources") or []
        return any(each["name"] == kind.plural for each in resources)

    async def get(self, kind: Kind, name: str) -> Object:
        """Reads the object."""
        return await self._object("GET", self._path_of(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        """Lists the objects, page by page, all as they were at one moment. They have no `managedFields`.

        Raises ExpiredError where the API server forgets that moment before the last page.
        """
        query = {**_selector(labels), "limit": str(_PAGE_OBJECTS)}
        items: list[bytes] = []
        while True:
            answer = await self._call("GET", self._path(kind), query=query)
            match answer:
                case {"items": [*found], "metadata": {"resourceVersion": str(version), **more}} if all(
                    map(_is_object, found)
                ):
                    items += [pack(_listed(kind, item)) for item in found]
                case _:
                    raise _no_api_server(f"no list of {kind.plural}")
            if not (following := more.get("continue")):
                return ObjectList(PackedObjects(items), version)
            query["continue"] = str(following)

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """Watches for WATCH_SECONDS at most."""
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
            async for line in lines_of(response.content.iter_any(), _LONGEST_EVENT_BYTES):
                if event := _event(line):
                    yield event
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnavailableError(f"the watch of {kind.plural} broke: {error or type(error).__name__}") from error
        finally:
            response.close()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Creates the object. Of a kind that people shape, it must have no field that the API server does not know."""
        return await self._object("POST", self._path(kind), query=_validation(kind), body=manifest)

    async def judge(self, kind: Kind, manifest: Object) -> None:
        """Has the API server, and its admission webhooks, say whether the object could be created."""
        try:
            # What only might be has no version: the answer is no object as others are.
            await self._call("POST", self._path(kind), query={**_validation(kind), "dryRun": "All"}, body=manifest)
        except (ForbiddenError, InvalidError) as error:
            if not any(words in str(error) for words in _NO_VERDICT):
                raise

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        """Merges the patch into the object."""
        if preconditions:
            # A uid never changes: the API server refuses a patch with another one than the object has.
            patch = _with_metadata(patch, uid=preconditions.uid)
        return await self._patch(self._path_of(kind, name), patch, preconditions)

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        """Merges the status into the object's, at its subresource."""
        path, patch = self._path_of(kind, name, "status"), {"status": status}
        if preconditions is None or preconditions.resource_version:
            return await self._patch(path, patch, preconditions)
        # In a status patch the API server ignores the uid, and would write to a successor of the same name. No two
        # objects ever have the same version, so the patch names the version of the right object.
        for _ in range(_STATUS_TRIES):
            metadata = (await self.get(kind, name))["metadata"]
            if metadata.get("uid") != preconditions.uid:
                raise _replaced(kind.kind, name)
            try:
                return await self._patch(path, patch, Preconditions(preconditions.uid, metadata["resourceVersion"]))
            except ConflictError:
                continue  # somebody else has written meanwhile, which does not matter to this caller
        raise UnavailableError(f"{kind.kind} {name} is being written by others all the time")

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Deletes the object."""
        options: Object = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if preconditions:
            version = preconditions.resource_version
            options["preconditions"] = {"uid": preconditions.uid, **({"resourceVersion": version} if version else {})}
        await self._call("DELETE", self._path_of(kind, name), body=options)

    async def _patch(self, path: str, patch: Object, preconditions: Preconditions | None) -> Object:
        if preconditions and preconditions.resource_version:
            patch = _with_metadata(patch, resourceVersion=preconditions.resource_version)
        patched = await self._object("PATCH", path, body=patch)
        if preconditions and patched["metadata"].get("uid") != preconditions.uid:
            raise _replaced(str(patched.get("kind")), patched["metadata"]["name"])
        return patched

    def _path(self, kind: Kind) -> str:
        """The path of all objects of a kind."""
        root = "/apis/" if "/" in kind.api_version else "/api/"
        namespace = "" if kind.everywhere else f"/namespaces/{quote(self.namespace, safe='')}"
        return f"{root}{kind.api_version}{namespace}/{kind.plural}"

    def _path_of(self, kind: Kind, name: str, subresource: str = "") -> str:
        """The path of one object. Raises NotFoundError where no object can have the name: no name leads elsewhere."""
        if not is_object_name(name):
            raise NotFoundError(f"{kind.plural} {name[:100]!a} not found: no object can be called so")
        return f"{self._path(kind)}/{quote(name, safe='')}" + (f"/{subresource}" if subresource else "")

    async def _object(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        answer = await self._call(method, path, query=query, body=body)
        if not _is_object(answer):
            raise _no_api_server("no object")
        return answer

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        response = await self._request(method, path, query=query, body=body, limits=REQUEST_TIMEOUT)
        try:
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"the API server broke off: {error or type(error).__name__}") from error
        if response.status >= 300:
            raise _error(response.status, content)
        answer = _json_object(content)
        if answer is None:
            raise _no_api_server(f"{content[:80].decode(errors='replace')!r}")
        return answer

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
        except (aiohttp.ClientError, ConfigException, TimeoutError, OSError, ValueError) as error:
            raise UnavailableError(f"the API server cannot be reached: {error or type(error).__name__}") from error
        return answer.response


def _selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    """The query that selects what carries the labels.

    Raises InvalidError for a label that no object can have: in a selector it would mean something else.
    """
    if not labels:
        return {}
    if wrong := impossible_label(labels):
        raise InvalidError(
            f"no object can carry the label {wrong[:100]!a}: a value has 63 letters, digits, '-', '_' and '.' at most",
        )
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}


def _listed(kind: Kind, item: Object) -> Object:
    """An item of a list as a single read has it: with apiVersion and kind. Half of it may be who wrote which field."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item, "metadata": metadata}


def _with_metadata(patch: Object, **fields: str) -> Object:
    return {**patch, "metadata": {**patch.get("metadata", {}), **fields}}


def _json_object(content: bytes) -> Object | None:
    """The JSON object; None where the content is anything else, such as a proxy's page or half an answer."""
    try:
        answer: Any = orjson.loads(content)
    except ValueError:
        return None
    return cast("Object", answer) if isinstance(answer, dict) else None


def _is_object(answer: Any) -> bool:
    """Whether it has the fields that Berth needs of every object."""
    match answer:
        case {"metadata": {"name": str(), "resourceVersion": str()}}:
            return True
        case _:
            return False


def _event(line: bytes) -> WatchEvent | None:
    """The change in a line of a watch; None for a line without one. Raises ClusterError."""
    match _json_object(line):
        case {"type": "BOOKMARK"}:
            return None
        case {"type": "ERROR", "object": status}:
            raise _error(500, orjson.dumps(status))
        case {"type": "ADDED" | "MODIFIED" | "DELETED" as change, "object": found} if _is_object(found):
            return WatchEvent(change, found)
        case _:
            raise _no_api_server(f"{line[:80].decode(errors='replace')!r} in a watch")


def _validation(kind: Kind) -> dict[str, str]:
    return {"fieldValidation": "Strict"} if kind in _SHAPED_BY_PEOPLE else {}


def _no_api_server(answered: str) -> UnavailableError:
    return UnavailableError(f"what answers is not, or not all of, an API server: it sent {answered}")


def _replaced(kind: str, name: str) -> ConflictError:
    return ConflictError(f"{kind} {name} is not the one that was read: it was deleted and made anew")


def _error(status: int, content: bytes) -> ClusterError:
    """The error that a Status object means."""
    answer = _json_object(content) or {}
    message = str(answer.get("message") or "") or content[:500].decode(errors="replace") or f"HTTP status {status}"
    reason = answer.get("reason")
    if reason == "Invalid" and _is_about_the_uid(answer):
        return ConflictError(f"it was deleted and made anew since it was read: {message}")
    meant = _ERRORS_BY_REASON.get(reason) if isinstance(reason, str) else None
    if meant is None and answer.get("kind") == "Status":
        meant = _ERRORS_BY_CODE.get(status)
    return (meant or UnavailableError)(message)


def _is_about_the_uid(status: Object) -> bool:
    """Whether a Status refuses a uid that is not the object's: the API server calls that invalid."""
    match status:
        case {"details": {"causes": [*causes]}}:
            return any(_field(cause) == "metadata.uid" for cause in causes)
        case _:
            return False


def _field(cause: Any) -> str | None:
    match cause:
        case {"field": str(field)}:
            return field
        case _:
            return None
