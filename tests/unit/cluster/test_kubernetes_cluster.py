"""The Cluster over HTTP: what a name can do to a path, what stands before an API server, and what a patch writes to."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from berth_cluster.cluster import (
    CONFIG_MAPS,
    JOBS,
    MODEL_DEPLOYMENTS,
    MODEL_DOWNLOADS,
    PODS,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Preconditions,
    UnavailableError,
)
from berth_cluster.json_lines import lines_of
from berth_cluster.kubernetes_cluster import KubernetesCluster
from berth_process.settings_error import SettingsError
from tests.unit.cluster.api_server import Answer, ApiServer, OneObject, api_server, kubeconfig

DOWNLOADS = "/apis/berth.dev/v1alpha1/namespaces/ns/modeldownloads"

OBJECT = {"metadata": {"name": "x", "uid": "u", "resourceVersion": "7"}}


@asynccontextmanager
async def connected(folder: Path, answer: Answer) -> AsyncGenerator[tuple[ApiServer, KubernetesCluster]]:
    async with api_server(folder, answer) as server:
        cluster = await server.connect()
        try:
            yield server, cluster
        finally:
            await cluster.close()


def always(body: bytes, status: int = 200, content_type: str = "application/json") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, content_type=content_type)

    return answer


IMPOSSIBLE = [
    "",
    ".",
    "..",
    "x?watch=true",
    "?labelSelector=a",
    "x#y",
    "a b",
    "x/status",
    "x%2Fy",
    "é",
    "X",
    "-x",
    "x" * 254,
    "x\n",
]


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a_name_that_no_object_can_have_is_asked_for_nowhere(tmp_path: Path, name: str) -> None:
    async with connected(tmp_path, always(json.dumps(OBJECT).encode())) as (server, cluster):
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: cluster.get(MODEL_DOWNLOADS, name),
            lambda: cluster.patch(MODEL_DOWNLOADS, name, {}),
            lambda: cluster.patch_status(MODEL_DOWNLOADS, name, {}),
            lambda: cluster.patch_status(MODEL_DOWNLOADS, name, {}, Preconditions("u")),
            lambda: cluster.delete(MODEL_DOWNLOADS, name),
        ]
        for call in calls:
            with pytest.raises(NotFoundError):
                await call()
        assert server.seen == []


@pytest.mark.parametrize("name", ["x", "org-name-0123456789", "a.b-c.d", "x" * 253])
async def test_a_name_is_one_segment_of_the_path(tmp_path: Path, name: str) -> None:
    async with connected(tmp_path, always(json.dumps(OBJECT).encode())) as (server, cluster):
        await cluster.get(MODEL_DOWNLOADS, name)
        assert server.seen == [("GET", f"{DOWNLOADS}/{name}")]


@pytest.mark.parametrize("namespace", ["a/b", "..", "x?y", "Caps", "a.b", "x" * 64])
async def test_a_namespace_that_cannot_be_one_is_refused_at_once(tmp_path: Path, namespace: str) -> None:
    async with api_server(tmp_path, always(b"{}")) as server:
        with pytest.raises(InvalidError, match="no namespace can be called"):
            await server.connect(namespace)


@pytest.mark.parametrize(
    "labels",
    [{"a": "b,c!=d"}, {"a": "x" * 64}, {"a!": "b"}, {"a,b": "c"}, {"/a": "b"}, {"": "b"}, {"a": "b "}],
)
async def test_a_label_that_no_object_can_carry_selects_nothing_else(tmp_path: Path, labels: Mapping[str, str]) -> None:
    async with connected(tmp_path, always(b"{}")) as (server, cluster):
        with pytest.raises(InvalidError, match="no object can carry"):
            await cluster.list(MODEL_DOWNLOADS, labels)
        with pytest.raises(InvalidError, match="no object can carry"):
            await anext(cluster.watch(MODEL_DOWNLOADS, "1", labels))
        assert server.seen == []


async def test_possible_labels_are_a_selector(tmp_path: Path) -> None:
    nothing = json.dumps({"metadata": {"resourceVersion": "3"}, "items": []}).encode()
    async with connected(tmp_path, always(nothing)) as (server, cluster):
        await cluster.list(MODEL_DOWNLOADS, {"berth.dev/download": "x", "a": ""})
        [(_, path)] = server.seen
        assert URL(path).query["labelSelector"] == "berth.dev/download=x,a="


async def test_a_list_is_all_of_its_pages_without_who_wrote_which_field(tmp_path: Path) -> None:
    pages = {"": (["a", "b"], "next"), "next": (["c"], "")}

    async def answer(request: web.Request) -> web.StreamResponse:
        names, following = pages[request.query.get("continue", "")]
        fields = [{"manager": "berth"}]
        items = [{"metadata": {"name": name, "resourceVersion": "3", "managedFields": fields}} for name in names]
        return web.json_response({"metadata": {"resourceVersion": "7", "continue": following}, "items": items})

    async with connected(tmp_path, answer) as (_, cluster):
        listed = await cluster.list(MODEL_DOWNLOADS, {"a": "b"})
    assert [item["metadata"] for item in listed.items] == [{"name": name, "resourceVersion": "3"} for name in "abc"]
    assert listed.resource_version == "7"


NOT_AN_API_SERVER = [
    b"<html>Sign in</html>",
    b'{"metadata": {"na',
    b"",
    b"[]",
    b"null",
    b'"x"',
    b"7",
    b'{"hello": "world"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", NOT_AN_API_SERVER)
async def test_a_page_in_place_of_an_answer_is_no_answer(tmp_path: Path, body: bytes) -> None:
    async with connected(tmp_path, always(body, content_type="text/html")) as (_, cluster):
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: cluster.get(MODEL_DOWNLOADS, "x"),
            lambda: cluster.list(MODEL_DOWNLOADS),
            lambda: cluster.create(MODEL_DOWNLOADS, OBJECT),
            lambda: cluster.patch(MODEL_DOWNLOADS, "x", {}),
            lambda: cluster.patch_status(MODEL_DOWNLOADS, "x", {}, Preconditions("u")),
        ]
        for call in calls:
            with pytest.raises(UnavailableError, match="is not, or not all of, an API server"):
                await call()


@pytest.mark.parametrize(
    "body",
    [*NOT_AN_API_SERVER, b'{"message": 7, "reason": ["NotFound"]}', b'{"reason": "Invalid", "details": 7}'],
)
@pytest.mark.parametrize("status", [302, 400, 404, 500, 502])
async def test_a_refusal_that_is_no_status_object_is_one_of_the_clusters_errors(
    tmp_path: Path,
    body: bytes,
    status: int,
) -> None:
    async with connected(tmp_path, always(body, status)) as (_, cluster):
        with pytest.raises(ClusterError):
            await cluster.get(MODEL_DOWNLOADS, "x")
        with pytest.raises(ClusterError):
            await anext(cluster.watch(MODEL_DOWNLOADS, "1"))


WORDS = 'admission webhook "validate.kyverno.svc" denied the request: pods must have a team'


@pytest.mark.parametrize(
    "reason", [{}, {"reason": ""}, {"reason": "a team is missing"}], ids=["none", "empty", "words"]
)
@pytest.mark.parametrize(
    ("code", "means"),
    [(400, InvalidError), (403, ForbiddenError), (422, InvalidError), (500, UnavailableError), (429, UnavailableError)],
)
async def test_what_a_webhook_refuses_without_a_reason_for_programs_is_refused(
    tmp_path: Path, reason: dict[str, str], code: int, means: type[ClusterError]
) -> None:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": WORDS, "code": code, **reason}
    async with connected(tmp_path, always(json.dumps(status).encode(), code)) as (_, cluster):
        with pytest.raises(ClusterError, match="pods must have a team") as refused:
            await cluster.create(PODS, OBJECT)
    assert type(refused.value) is means


async def test_what_people_shape_has_no_field_that_the_api_server_would_drop(tmp_path: Path) -> None:
    async with connected(tmp_path, always(json.dumps(OBJECT).encode())) as (server, cluster):
        for kind in (PODS, JOBS, MODEL_DEPLOYMENTS):
            await cluster.create(kind, OBJECT)
    asked = [URL(path).query.get("fieldValidation") for _, path in server.seen]
    # A newer router may meet an older CustomResourceDefinition, which drops what it does not know.
    assert asked == ["Strict", "Strict", None]


WATCHED = [
    b"<html>",
    b"[]",
    b'{"type": "ADDED"}',
    b'{"type": "ADDED", "object": {}}',
    b'{"type": "ERROR", "object": []}',
    b'{"type": 7}',
]


@pytest.mark.parametrize("line", WATCHED)
async def test_a_line_that_is_no_event_breaks_the_watch_and_nothing_else(tmp_path: Path, line: bytes) -> None:
    async with connected(tmp_path, always(line + b"\n")) as (_, cluster):
        with pytest.raises(UnavailableError):
            await anext(cluster.watch(MODEL_DOWNLOADS, "1"))


async def test_a_list_of_things_that_are_no_objects_is_no_list(tmp_path: Path) -> None:
    for items in ("[7]", "[{}]", '[{"metadata": {"name": "x"}}]', "null", "{}"):
        body = f'{{"metadata": {{"resourceVersion": "3"}}, "items": {items}}}'.encode()
        async with connected(tmp_path, always(body)) as (_, cluster):
            with pytest.raises(UnavailableError):
                await cluster.list(MODEL_DOWNLOADS)


@pytest.mark.parametrize("size", [200_000, 5_000_000])
async def test_a_watch_tells_of_an_object_of_any_size_that_a_cluster_can_hold(tmp_path: Path, size: int) -> None:
    found = {"metadata": {**OBJECT["metadata"], "annotations": {"x": "y" * size}}}

    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        for _ in range(2):
            await stream.write(json.dumps({"type": "MODIFIED", "object": found}).encode() + b"\n")
        await asyncio.Event().wait()  # the watch stands
        return stream

    async with connected(tmp_path, answer) as (_, cluster), asyncio.timeout(30):
        watch = cluster.watch(MODEL_DOWNLOADS, "1")
        for _ in range(2):
            assert (await anext(watch)).object == found


async def test_lines_have_a_bound() -> None:
    async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    assert [line async for line in lines_of(pieces(b"a\nb", b"c", b"\n\nd"), 10)] == [b"a", b"bc", b"", b"d"]
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        _ = [line async for line in lines_of(pieces(b"a\n", b"123456", b"789012"), 10)]


async def test_a_patch_of_one_that_was_made_anew_writes_nothing(tmp_path: Path) -> None:
    stored = OneObject("successor")
    async with connected(tmp_path, stored.answer) as (_, cluster):
        with pytest.raises(ConflictError, match="made anew"):
            await cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"model": "y"}}, Preconditions("read"))
        with pytest.raises(ConflictError, match="made anew"):
            await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, Preconditions("read"))
    assert stored.found["spec"] == {}
    assert "status" not in stored.found


async def test_a_status_is_not_written_to_one_that_is_made_anew_at_that_very_moment(tmp_path: Path) -> None:
    stored = OneObject("read")
    stored.before_patch = [lambda: stored.replace("successor")]
    async with connected(tmp_path, stored.answer) as (_, cluster):
        with pytest.raises(ConflictError, match="made anew"):
            await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, Preconditions("read"))
    assert "status" not in stored.found


async def test_what_others_write_meanwhile_does_not_keep_a_status_from_the_right_object(tmp_path: Path) -> None:
    stored = OneObject("read")
    stored.before_patch = [stored.touch, stored.touch]
    async with connected(tmp_path, stored.answer) as (_, cluster):
        patched = await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, Preconditions("read"))
        assert patched["status"] == stored.found["status"] == {"phase": "Ready"}
        stored.before_patch = [stored.touch] * 100
        with pytest.raises(UnavailableError, match="all the time"):
            await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, Preconditions("read"))


async def test_a_version_is_a_precondition_by_itself(tmp_path: Path) -> None:
    stored = OneObject("read")
    as_read = Preconditions("read", stored.found["metadata"]["resourceVersion"])
    async with connected(tmp_path, stored.answer) as (server, cluster):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, as_read)
        with pytest.raises(ConflictError):
            await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"}, as_read)
        with pytest.raises(ConflictError):
            await cluster.patch(CONFIG_MAPS, "smol", {"data": {}}, as_read)
        assert [method for method, _ in server.seen] == ["PATCH"] * 3  # nothing is read for it


async def test_the_api_server_hears_which_program_asks(tmp_path: Path) -> None:
    agents: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        agents.append(request.headers.get("user-agent"))
        return web.json_response(OBJECT)

    async with api_server(tmp_path, answer) as server:
        cluster = await KubernetesCluster.connect("ns", str(server.kubeconfig), program="berth-router")
        await cluster.get(MODEL_DOWNLOADS, "x")
        await cluster.close()
    assert [str(agent).split("/")[0] for agent in agents] == ["berth-router"]


async def test_netrc_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    credentials: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        credentials.append(request.headers.get("authorization"))
        return web.json_response(OBJECT)

    async with connected(tmp_path, answer) as (_, cluster):
        await cluster.get(MODEL_DOWNLOADS, "x")
    assert credentials == ["Bearer secret"]


@pytest.mark.parametrize(("excepted", "proxied"), [("", True), ("api.example.com", False)])
async def test_the_environments_proxy_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    excepted: str,
    proxied: bool,
) -> None:
    requests: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        requests.append((request.raw_path, request.headers.get("proxy-authorization")))
        return web.json_response(OBJECT)

    async with api_server(tmp_path, proxy) as server:
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://me:mine@127.0.0.1:{server.port}")
        monkeypatch.setenv("NO_PROXY", excepted)
        monkeypatch.delenv("no_proxy", raising=False)
        server.kubeconfig.write_text(json.dumps(kubeconfig("http://api.example.com:9")))
        cluster = await server.connect()
        try:
            if proxied:
                assert await cluster.get(MODEL_DOWNLOADS, "x") == OBJECT
            else:
                with pytest.raises(UnavailableError):
                    await cluster.get(MODEL_DOWNLOADS, "x")
        finally:
            await cluster.close()
    assert requests == ([(f"http://api.example.com:9{DOWNLOADS}/x", "Basic bWU6bWluZQ==")] if proxied else [])


@pytest.mark.parametrize("proxy", ["http://", "ftp://x:1", "http://x:port", "http://[x"])
async def test_a_proxy_that_cannot_be_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    async with api_server(tmp_path, always(b"{}")) as server:
        with pytest.raises(SettingsError, match=r"HTTP_PROXY is .*: it must be the address of a proxy"):
            await server.connect()


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"{", b"7", b"- a", b'{"contexts": 7, "current-context": "x"}'])
async def test_a_file_that_is_no_kubeconfig_is_named(
    tmp_path: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match="no cluster to connect to"):
        await KubernetesCluster.connect("ns", str(path))
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(SettingsError, match=r"KUBECONFIG is .*: it must be the path of a kubeconfig file"):
        await KubernetesCluster.connect("ns")
